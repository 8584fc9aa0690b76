// Operators with weights, and windows.
#include <algorithm>
#include <cmath>

#include "micromind/formats/onnx_reader.h"

namespace micromind::onnx_file {
namespace {

constexpr std::int64_t kMaxWindow = 1 << 12, kMaxPadding = 1 << 16;

std::int32_t narrow(std::int64_t v) { return static_cast<std::int32_t>(v); }

Tensor tensor_of(const Graph& graph, int v) {
  Tensor t;
  t.kind = Tensor::Kind::value;
  t.value = v;
  t.dims = {1};
  for (const std::int32_t d : graph.shape(v)) t.dims.push_back(d);
  return t;
}

std::vector<float> floats(const Constant& c) { return {c.values.begin(), c.values.end()}; }

}  // namespace

Size Reader::size_attribute(const FileNode& n, std::string_view name, const Size& otherwise) {
  const Dims v = integers_attribute(n, name, {});
  if (v.empty()) return otherwise;
  if (v.size() != 2) unsupported("its {} has {} entries; only images can be read", name, v.size());
  for (const std::int64_t x : v)
    if (x < 1 || x > kMaxWindow) unsupported("its {} is {}", name, x);
  return {narrow(v[0]), narrow(v[1])};
}

// Explicit padding, or what auto_pad means for this image. `extents`: H, W.
Padding Reader::window_padding(const FileNode& n, const Dims& extents, const Size& kernel, const Size& stride, const Size& dilation) {
  const std::string automatic = text_attribute(n, "auto_pad", "NOTSET");
  if (automatic == "NOTSET") {
    const Dims pads = integers_attribute(n, "pads", {0, 0, 0, 0});
    if (pads.size() != 4) unsupported("its pads have {} entries; only images can be read", pads.size());
    for (const std::int64_t p : pads)
      if (p < 0 || p > kMaxPadding) unsupported("a padding of {}", p);
    return {narrow(pads[0]), narrow(pads[2]), narrow(pads[1]), narrow(pads[3])};
  }
  if (automatic == "VALID") return {};
  if (automatic != "SAME_UPPER" && automatic != "SAME_LOWER") unsupported("its auto_pad is '{}'", automatic);
  const auto sides = [&](std::int64_t in, std::int64_t k, std::int64_t s, std::int64_t d) {
    const std::int64_t total = std::max<std::int64_t>(0, ((in + s - 1) / s - 1) * s + d * (k - 1) + 1 - in);
    const std::int64_t small = total / 2, large = total - small;
    return automatic == "SAME_UPPER" ? std::pair(narrow(small), narrow(large)) : std::pair(narrow(large), narrow(small));
  };
  const auto [top, bottom] = sides(extents[0], kernel.h, stride.h, dilation.h);
  const auto [left, right] = sides(extents[1], kernel.w, stride.w, dilation.w);
  return {top, bottom, left, right};
}

void Reader::read_conv(const FileNode& n) {
  const Constant& w = constant(n, 1);
  const Constant* b = has_input(n, 2) ? &constant(n, 2) : nullptr;
  if (w.dims.size() != 4) unsupported("its weights have the shape [{}]; expected four dimensions (images)", fmt::join(w.dims, ", "));
  if (element_count(w.dims) < 1 || w.dims[2] > kMaxWindow || w.dims[3] > kMaxWindow) unsupported("its weights have the shape [{}]", fmt::join(w.dims, ", "));
  if (w.type != Dtype::float32) unsupported("its weights are {}; expected float32", to_string(w.type));
  const std::int64_t groups = integer_attribute(n, "group", 1);
  Conv2d conv{.out_channels = narrow(w.dims[0]), .kernel = {narrow(w.dims[2]), narrow(w.dims[3])}};
  if (!(size_attribute(n, "kernel_shape", conv.kernel) == conv.kernel)) unsupported("its kernel_shape is not that of its weights");
  conv.stride = size_attribute(n, "strides", 1);
  conv.dilation = size_attribute(n, "dilations", 1);
  const int x = real(n);
  image(n);
  const Shape in_shape = model_.graph.shape(x);
  if (groups < 1 || groups > in_shape[0] || groups * w.dims[1] != in_shape[0] || w.dims[0] % groups != 0)
    unsupported("its weights [{}] in {} groups do not fit {} channels", fmt::join(w.dims, ", "), groups, in_shape[0]);
  conv.groups = narrow(groups);
  conv.padding = window_padding(n, {in_shape[1], in_shape[2]}, conv.kernel, conv.stride, conv.dilation);
  conv.bias = b != nullptr || quantized_;
  if (b && static_cast<std::int64_t>(b->values.size()) != w.dims[0]) unsupported("its bias has {} numbers for {} channels", b->values.size(), w.dims[0]);
  const std::string name = name_of(n, w.quantized ? w.quantized->integers.name : w.name);
  if (!quantized_) {
    const int v = emit(name, conv, {x});
    add_parameter(name + ".weight", {conv.out_channels, narrow(w.dims[1]), conv.kernel.h, conv.kernel.w}, floats(w));
    if (b) add_parameter(name + ".bias", {conv.out_channels}, floats(*b));
    set(n, tensor_of(model_.graph, v));
    return;
  }
  int out = id(n.outputs[0]);
  conv.activation = fused_function(n, out);
  const int v = emit(name, conv, {x});
  const bool depthwise = conv.depthwise(in_shape);
  const Shape stored = depthwise ? Shape{1, conv.kernel.h, conv.kernel.w, conv.out_channels}
                                 : Shape{conv.out_channels, conv.kernel.h, conv.kernel.w, narrow(w.dims[1])};
  int8_parameters(n, name, w, b, false, stored, depthwise, {}, model_.graph.type(x).quantization->scale, conv.out_channels);
  tensor(out) = tensor_of(model_.graph, v);
}

void Reader::read_gemm(const FileNode& n) {
  if (integer_attribute(n, "transA", 0) != 0) unsupported("its transA is set");
  const float alpha = number_attribute(n, "alpha", 1), beta = number_attribute(n, "beta", 1);
  if (quantized_ && (alpha != 1 || beta != 1)) unsupported("its alpha is {} and its beta {}; expected 1", alpha, beta);
  linear(n, constant(n, 1), integer_attribute(n, "transB", 0) != 0, alpha, has_input(n, 2) ? &constant(n, 2) : nullptr, beta);
}

// x·W, with the addition of a constant behind it as its bias.
void Reader::read_matmul(const FileNode& n) {
  const Constant& w = constant(n, 1);
  const Constant* bias = nullptr;
  FileNode whole = n;
  if (const int next = sole_reader(id(n.outputs[0])); next >= 0 && node(next).op == "Add" && node(next).domain.empty() && node(next).inputs.size() == 2) {
    const FileNode& add = node(next);
    const std::size_t other = add.inputs[0] == n.outputs[0] ? 1 : 0;
    if (is_constant(add, other) && w.dims.size() == 2) {
      const Constant& c = *in(add, other).constant;
      const bool vector = static_cast<std::int64_t>(c.values.size()) == w.dims[1] && (c.dims.size() == 1 || (c.dims.size() == 2 && c.dims[0] == 1));
      if (vector) {
        bias = &c;
        whole.outputs = add.outputs;
        absorb(next);
      }
    }
  }
  linear(whole, w, false, 1, bias, 1);
}

// A linear layer between a flattened 1×1 image and a reshape back to one (squeeze-excite) stays on images, as a 1×1
// convolution: graphs have no way back from a vector.
bool Reader::leads_to_image(int t) {
  static const std::set<std::string, std::less<>> through = {"Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish",
                                                             "Dropout", "Identity", "BatchNormalization", "QuantizeLinear", "DequantizeLinear", "Cast", "Min", "Max"};
  std::vector<int> open = {t};
  std::set<int> seen = {t};
  while (!open.empty() && seen.size() < 256) {
    const int at = open.back();
    open.pop_back();
    for (const int r : readers(at)) {
      const FileNode& n = node(r);
      if (n.inputs[0] != tensor_names_[static_cast<std::size_t>(at)] && !through.contains(n.op)) continue;
      if (n.op == "Unsqueeze") return true;
      if (n.op == "Reshape" && has_input(n, 1)) {
        const Tensor& shape = in(n, 1);
        if (shape.kind == Tensor::Kind::constant) return shape.constant->values.size() >= 3;
        const int p = producer_[static_cast<std::size_t>(id(n.inputs[1]))];
        return p >= 0 && node(p).op == "Concat" && node(p).inputs.size() >= 3;
      }
      if (!through.contains(n.op) || n.outputs[0].empty()) continue;
      if (seen.insert(id(n.outputs[0])).second) open.push_back(id(n.outputs[0]));
    }
  }
  return false;
}

// `transposed`: the weights are (out, in), else (in, out).
void Reader::linear(const FileNode& n, const Constant& w, bool transposed, float alpha, const Constant* b, float beta) {
  int x = real(n);
  Tensor& t = in(n);
  if (t.dims.size() != 2) unsupported("its input has the shape [{}]; expected a vector with a batch in front", fmt::join(t.dims, ", "));
  if (w.dims.size() != 2 || element_count(w.dims) < 1) unsupported("its weights have the shape [{}]", fmt::join(w.dims, ", "));
  if (w.type != Dtype::float32) unsupported("its weights are {}; expected float32", to_string(w.type));
  const std::int64_t rows = w.dims[transposed ? 0 : 1], columns = w.dims[transposed ? 1 : 0];
  if (columns != t.dims[1]) unsupported("its weights have {} columns for {} inputs", columns, t.dims[1]);
  if (b && static_cast<std::int64_t>(b->values.size()) != rows && b->values.size() != 1) unsupported("its bias has {} numbers for {} outputs", b->values.size(), rows);
  const std::string name = name_of(n, w.quantized ? w.quantized->integers.name : w.name);
  const bool on_image = model_.graph.shape(x).rank() > 1 && leads_to_image(id(n.outputs[0]));
  if (model_.graph.shape(x).rank() > 1 && !on_image) x = emit(names_.fresh(name + ".flatten"), Flatten{}, {x});
  const std::int32_t out_features = narrow(rows);
  const bool has_bias = b != nullptr || quantized_;
  int last = id(n.outputs[0]);
  const Function fused = quantized_ ? fused_function(n, last) : Function::none;
  const Op op = on_image ? Op(Conv2d{.out_channels = out_features, .bias = has_bias, .activation = fused})
                         : Op(Linear{.out_features = out_features, .bias = has_bias, .activation = fused});
  const int v = emit(name, op, {x});
  Tensor made_tensor = tensor_of(model_.graph, v);
  if (on_image) made_tensor.dims = {1, rows};
  if (quantized_) {
    const Shape stored = on_image ? Shape{out_features, 1, 1, narrow(columns)} : Shape{out_features, narrow(columns)};
    int8_parameters(n, name, w, b, !transposed, stored, false, t.flattened, model_.graph.type(x).quantization->scale, out_features);
    tensor(last) = made_tensor;
    return;
  }
  std::vector<float> weight(w.values.size()), bias;
  const auto at = [](std::int64_t r, std::int64_t c, std::int64_t width) { return static_cast<std::size_t>(r * width + c); };
  const Shape& image = t.flattened;  // the file's columns are (H, W, C), ours (C, H, W)
  const std::int64_t channels = image.rank() > 0 ? image[0] : 1, area = columns / channels;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t ours = image.rank() > 0 ? c % channels * area + c / channels : c;
      weight[at(r, ours, columns)] = alpha * static_cast<float>(transposed ? w.values[at(r, c, columns)] : w.values[at(c, r, rows)]);
    }
  if (b)
    for (std::int64_t r = 0; r < rows; ++r) bias.push_back(beta * static_cast<float>(b->values[b->values.size() == 1 ? 0 : static_cast<std::size_t>(r)]));
  add_parameter(name + ".weight", on_image ? Shape{out_features, narrow(columns), 1, 1} : Shape{out_features, narrow(columns)}, weight);
  if (b) add_parameter(name + ".bias", {out_features}, bias);
  set(n, made_tensor);
}

void Reader::read_batch_norm(const FileNode& n) {
  if (integer_attribute(n, "training_mode", 0) != 0) unsupported("it is in training mode; export in evaluation mode");
  if (integer_attribute(n, "spatial", 1) != 1) unsupported("it is not per channel");
  const float eps = number_attribute(n, "epsilon", 1e-5f);
  if (quantized_) unsupported("a batch norm has no int8 form; fold it into the layer before");
  const int x = real(n);
  const Tensor t = in(n);
  const std::int32_t channels = model_.graph.shape(x)[0];
  if (t.flattened.rank() > 0 || t.dims.size() < 2 || (t.channels_last ? t.dims.back() : t.dims[1]) != channels || (t.channels_last && t.dims.size() > 2))
    unsupported("its input of the shape [{}] is in another order", fmt::join(t.dims, ", "));
  if (!(eps >= 0 && eps < 1)) unsupported("its epsilon is {}", eps);
  constexpr const char* kSuffixes[] = {".weight", ".bias", ".running_mean", ".running_var"};
  for (std::size_t k = 1; k <= 4; ++k) {
    const Constant& c = constant(n, k);
    if (static_cast<std::int64_t>(c.values.size()) != channels) unsupported("its '{}' has {} numbers for {} channels", c.name, c.values.size(), channels);
  }
  for (const double v : constant(n, 4).values)
    if (!(v + eps > 0)) unsupported("it has a variance of {}", v);
  const std::string name = name_of(n, constant(n, 1).name);
  const int v = emit(name, BatchNorm{.eps = eps}, {x});
  for (std::size_t k = 1; k <= 4; ++k) add_parameter(name + kSuffixes[k - 1], {channels}, floats(constant(n, k)));
  set(n, made(t, v));
}

void Reader::read_pool(const FileNode& n, bool max) {
  const int x = image(n);
  if (!find_attribute(n, "kernel_shape")) unsupported("it has no kernel_shape");
  const Size kernel = size_attribute(n, "kernel_shape", 1), stride = size_attribute(n, "strides", 1);
  if (!(size_attribute(n, "dilations", 1) == Size(1))) unsupported("its dilations are not 1");
  const Shape shape = model_.graph.shape(x);
  Padding p = window_padding(n, {shape[1], shape[2]}, kernel, stride, 1);
  const bool counted = !max && integer_attribute(n, "count_include_pad", 0) != 0 && p.any();
  if (integer_attribute(n, "ceil_mode", 0) != 0) {
    // A last, partial window: padding behind the image, which neither wins nor counts.
    const auto extend = [&](std::int32_t in, std::int32_t k, std::int32_t s, std::int32_t before, std::int32_t& after) {
      const std::int32_t room = in + before + after - k;
      if (room < 0 || room % s == 0) return;
      if ((room / s + 1) * s >= in + before) return;  // it would start behind the image
      if (counted) unsupported("its ceil_mode with counted padding");
      after += s - room % s;
    };
    extend(shape[1], kernel.h, stride.h, p.top, p.bottom);
    extend(shape[2], kernel.w, stride.w, p.left, p.right);
  }
  const bool integer = in(n).integer;
  int v = x;
  if (counted) {
    v = emit(names_.fresh(name_of(n) + ".pad"), Pad{p}, {v});
    p = {};
  }
  const std::string name = name_of(n);
  v = max ? emit(name, MaxPool2d{kernel, stride, p}, {v}) : emit(name, AvgPool2d{kernel, stride, p}, {v});
  Tensor t = tensor_of(model_.graph, v);
  t.integer = integer;
  set(n, t);
}

void Reader::read_global_pool(const FileNode& n, bool max) {
  const int x = image(n);
  const Shape shape = model_.graph.shape(x);
  const int v = max ? emit(name_of(n), MaxPool2d{.kernel = {shape[1], shape[2]}, .stride = 1, .padding = {}}, {real(n)})
                    : emit(name_of(n), AdaptiveAvgPool2d{}, {real(n)});
  set(n, tensor_of(model_.graph, v));
}

void Reader::read_reduce(const FileNode& n, bool max) {
  const Dims axes = attribute_or_input(n, "axes", 1, {});
  std::set<std::size_t> over;
  for (const std::int64_t a : axes) over.insert(resolve_axis(a, in(n).dims.size()));
  if (over != std::set<std::size_t>{2, 3} && !(in(n).channels_last && over == std::set<std::size_t>{1, 2}))
    unsupported("it is not over height and width");
  if (in(n).dims.size() != 4) unsupported("its input of the shape [{}] is no image", fmt::join(in(n).dims, ", "));
  const int x = real(n);
  const Shape shape = model_.graph.shape(x);
  const bool last = in(n).channels_last;
  const bool keep = integer_attribute(n, "keepdims", 1) != 0;
  const std::string name = name_of(n);
  const int v = max ? emit(name, MaxPool2d{.kernel = {shape[1], shape[2]}, .stride = 1, .padding = {}}, {x}) : emit(name, AdaptiveAvgPool2d{}, {x});
  Tensor t = tensor_of(model_.graph, v);
  if (last) t.dims = {1, 1, 1, shape[0]};
  t.channels_last = last;
  set(n, t);
  if (!keep) {
    FileNode flat = n;
    flat.inputs = {n.outputs[0]};
    reshape_to(flat, {1, shape[0]});
  }
}

}  // namespace micromind::onnx_file
