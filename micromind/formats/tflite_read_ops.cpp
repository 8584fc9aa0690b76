#include <algorithm>

#include "micromind/formats/tflite_reader.h"

namespace micromind::tflite {
namespace {

Function function_of(ActivationFunctionType a) {
  return a == ActivationFunctionType_RELU ? Function::relu : a == ActivationFunctionType_RELU6 ? Function::relu6 : Function::none;
}

}  // namespace

int Reader::value(const FileOperator& op, std::size_t i) const {
  const int v = value_of_tensor_[static_cast<std::size_t>(op.inputs[i])];
  if (v < 0) bad(op, "it reads '{}', which nothing has made before", in(op, i).name);
  return v;
}

int Reader::emit(const FileOperator& op, std::string node_name, Op node, std::vector<int> inputs, bool is_output) {
  int v = -1;
  try {
    v = model_.graph.add(std::move(node_name), std::move(node), std::move(inputs));
  } catch (const Error& e) {
    bad(op, "{}", e.message());
  }
  if (!is_output) return v;
  const std::vector<int> values = model_.graph.nodes().back().outputs;
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto wanted = type(op.outputs[k]);
    if (!(wanted.shape == model_.graph.shape(values[k])))
      bad(op, "its output '{}' has the shape {} in the file; its inputs give {}", tensor(op.outputs[k]).name, to_string(wanted.shape),
          to_string(model_.graph.shape(values[k])));
    model_.graph.type(values[k]) = wanted;
    value_of_tensor_[static_cast<std::size_t>(op.outputs[k])] = values[k];
  }
  return v;
}

// A fused activation of an operator that fuses none in our graph: a node behind it with the same scale, the same bytes.
void Reader::emit_with_activation(const FileOperator& op, Op node, std::vector<int> inputs) {
  const std::string name = fresh_name(out(op).name);
  const int v = emit(op, name, std::move(node), std::move(inputs));
  if (op.options.activation == ActivationFunctionType_NONE) return;
  const Function f = function_of(op.options.activation);
  emit(op, fresh_name(fmt::format("{}.{}", name, to_string(f))), Activation{f}, {v});
}

void Reader::read(int i) {
  const FileOperator& o = op(i);
  const auto expect_equal = [&](std::size_t first) {
    for (std::size_t k = first; k < o.inputs.size(); ++k)
      if (is_activation(in(o, k)) && !equal_scales(in(o, k), out(o)))
        bad(o, "'{}' and '{}' differ in scale or zero point, which it cannot change", in(o, k).name, out(o).name);
  };
  const auto expect_unit = [&] {
    if (activation_type_ == TensorType_INT8 && (out(o).scales != std::vector<float>{1.0f / 256} || out(o).zero_points[0] != -128))
      bad(o, "its output must have scale 1/256 and zero point -128");
  };
  const auto single = [&](Op node) { emit(o, fresh_name(out(o).name), std::move(node), {value(o, 0)}); };
  switch (role(i)) {
    case Role::dead:
    case Role::absorbed:
    case Role::edge: return;
    case Role::silu: single(Activation{Function::silu}); return;
    case Role::uneven_pool: single(AdaptiveAvgPool2d{o.options.filter}); return;
    case Role::merged_pad: value_of_tensor_[static_cast<std::size_t>(o.outputs[0])] = value(o, 0); return;
    case Role::plain: break;
  }
  switch (o.code) {
    case BuiltinOperator_CONV_2D:
    case BuiltinOperator_DEPTHWISE_CONV_2D: read_conv(o); return;
    case BuiltinOperator_FULLY_CONNECTED: read_linear(o); return;
    case BuiltinOperator_AVERAGE_POOL_2D:
    case BuiltinOperator_MAX_POOL_2D:
      expect_equal(0);
      read_pool(o);
      return;
    case BuiltinOperator_RELU: single(Activation{Function::relu}); return;
    case BuiltinOperator_RELU6: single(Activation{Function::relu6}); return;
    case BuiltinOperator_HARD_SWISH: single(Activation{Function::hard_swish}); return;
    case BuiltinOperator_LOGISTIC:
      expect_unit();
      single(Activation{Function::sigmoid});
      return;
    case BuiltinOperator_SOFTMAX:
      expect_unit();
      single(Softmax{});
      return;
    case BuiltinOperator_QUANTIZE: single(Requantize{}); return;
    case BuiltinOperator_ADD:
      emit(o, fresh_name(out(o).name), Add{function_of(o.options.activation)}, {value(o, 0), value(o, 1)});
      return;
    case BuiltinOperator_MUL: emit_with_activation(o, Multiply{}, {value(o, 0), value(o, 1)}); return;
    case BuiltinOperator_CONCATENATION: {
      expect_equal(0);
      std::vector<int> inputs;
      std::int64_t sum = 0;
      const std::int32_t axis = axis_of(o, o.options.axis, out(o));
      for (std::size_t k = 0; k < o.inputs.size(); ++k) {
        inputs.push_back(value(o, k));
        const Shape& s = model_.graph.shape(inputs.back());
        sum += axis < s.rank() ? s[axis] : 0;
      }
      if (sum > out(o).elements()) bad(o, "its inputs are larger than its output");
      emit_with_activation(o, Concat{axis}, inputs);
      return;
    }
    case BuiltinOperator_PAD:
    case BuiltinOperator_PADV2:
      expect_equal(0);
      single(Pad{*image_padding(o)});
      return;
    case BuiltinOperator_RESIZE_NEAREST_NEIGHBOR:
      expect_equal(0);
      single(Upsample{Size{out(o).shape[1] / in(o).shape[1], out(o).shape[2] / in(o).shape[2]}});
      return;
    case BuiltinOperator_SPLIT:
    case BuiltinOperator_SPLIT_V: read_split(o); return;
    case BuiltinOperator_MEAN: read_mean(o); return;
    case BuiltinOperator_RESHAPE:
    case BuiltinOperator_SQUEEZE:
    case BuiltinOperator_EXPAND_DIMS:
      if (!equal_scales(in(o), out(o))) bad(o, "it changes the scale");
      read_reshape(o);
      return;
    default: bad(o, "it cannot be read");
  }
}

micromind::Padding Reader::window_padding(const FileOperator& op, const Size& kernel) const {
  micromind::Padding p;
  Shape image = model_.graph.shape(value(op, 0));
  if (image.rank() != 3) bad(op, "its input '{}' is no image", in(op).name);
  if (const auto it = merged_.find(op.inputs[0]); it != merged_.end()) {
    p = it->second;
    image = {image[0], image[1] + p.top + p.bottom, image[2] + p.left + p.right};
  }
  if (op.options.padding == Padding_SAME) {
    const micromind::Padding same = same_padding(image, {kernel, op.options.stride, op.options.dilation});
    p = {p.top + same.top, p.bottom + same.bottom, p.left + same.left, p.right + same.right};
  }
  return p;
}

void Reader::read_conv(const FileOperator& op) {
  const bool depthwise = op.code == BuiltinOperator_DEPTHWISE_CONV_2D;
  const std::vector<std::int32_t>& f = in(op, 1).shape;  // O×KH×KW×I or 1×KH×KW×O
  if (f.size() != 4 || std::any_of(f.begin(), f.end(), [](std::int32_t d) { return d < 1 || d > (1 << 16); }) || (depthwise && f[0] != 1) ||
      f[1] > (1 << 12) || f[2] > (1 << 12))
    bad(op, "its filter has the shape [{}]", fmt::join(f, ", "));
  const Shape image = model_.graph.shape(value(op, 0));
  Conv2d conv;
  conv.kernel = {f[1], f[2]};
  conv.stride = op.options.stride;
  conv.dilation = op.options.dilation;
  conv.out_channels = depthwise ? f[3] : f[0];
  conv.activation = function_of(op.options.activation);
  if (!depthwise && image[0] % f[3] != 0) bad(op, "its filter sees {} channels of {}", f[3], image[0]);
  conv.groups = depthwise ? image[0] : image[0] / f[3];
  conv.padding = window_padding(op, conv.kernel);
  const std::string name = fresh_name(out(op).name);
  emit(op, name, conv, {value(op, 0)});
  // One input channel: TensorFlow's depthwise is our plain convolution. A grouped filter of one channel: the other way.
  const bool ours = conv.depthwise(image);
  const Shape shape = ours ? Shape{1, f[1], f[2], conv.out_channels} : Shape{conv.out_channels, f[1], f[2], image[0] / conv.groups};
  add_weights(op, name, shape, ours != depthwise, {});
  add_bias(op, name, conv.out_channels);
}

void Reader::read_linear(const FileOperator& op) {
  const std::vector<std::int32_t>& f = in(op, 1).shape;
  if (f.size() != 2 || f[0] < 1 || f[1] < 1) bad(op, "its weights have the shape [{}]", fmt::join(f, ", "));
  const std::string name = fresh_name(out(op).name);
  int v = value(op, 0);
  if (model_.graph.shape(v).elements() != f[1])
    bad(op, "its weights have {} columns for {} inputs", f[1], model_.graph.shape(v).elements());
  if (model_.graph.shape(v).rank() != 1) v = flatten_of(op, v, fresh_name(name + ".flatten"), op.inputs[0]);
  emit(op, name, Linear{.out_features = f[0], .activation = function_of(op.options.activation)}, {v});
  const auto it = flattened_.find(v);
  add_weights(op, name, {f[0], f[1]}, false, it == flattened_.end() ? Shape{} : it->second);
  add_bias(op, name, f[0]);
}

void Reader::read_pool(const FileOperator& op) {
  const micromind::Padding padding = window_padding(op, op.options.filter);
  if (op.code == BuiltinOperator_MAX_POOL_2D) emit_with_activation(op, MaxPool2d{op.options.filter, op.options.stride, padding}, {value(op, 0)});
  else emit_with_activation(op, AvgPool2d{op.options.filter, op.options.stride, padding}, {value(op, 0)});
}

void Reader::read_mean(const FileOperator& op) {
  const std::string name = fresh_name(out(op).name);
  if (op.options.keep_dims) {
    emit(op, name, AdaptiveAvgPool2d{}, {value(op, 0)});
    return;
  }
  const int v = emit(op, fresh_name(name + ".pool"), AdaptiveAvgPool2d{}, {value(op, 0)}, false);
  model_.graph.type(v).element = type(op.outputs[0]).element;
  model_.graph.type(v).quantization = type(op.outputs[0]).quantization;
  emit(op, name, Flatten{}, {v});
  unflattened_[value_of_tensor_[static_cast<std::size_t>(op.outputs[0])]] = v;
}

void Reader::read_reshape(const FileOperator& op) {
  const int v = value(op, 0);
  const Shape wanted = type(op.outputs[0]).shape;
  int& made = value_of_tensor_[static_cast<std::size_t>(op.outputs[0])];
  if (model_.graph.shape(v) == wanted) {
    made = v;
  } else if (const auto it = unflattened_.find(v); it != unflattened_.end() && model_.graph.shape(it->second) == wanted) {
    made = it->second;
  } else if (wanted.rank() == 1 && wanted.elements() == model_.graph.shape(v).elements()) {
    made = flatten_of(op, v, fresh_name(out(op).name), op.outputs[0]);
  } else {
    bad(op, "a reshape from {} to {}", to_string(model_.graph.shape(v)), to_string(wanted));
  }
}

int Reader::flatten_of(const FileOperator& op, int v, std::string node_name, std::int32_t like) {
  const int flat = emit(op, std::move(node_name), Flatten{}, {v}, false);
  const auto t = type(like);
  model_.graph.type(flat).element = t.element;
  model_.graph.type(flat).quantization = t.quantization;
  const Shape& image = model_.graph.shape(v);
  unflattened_[flat] = v;
  if (image.rank() > 1 && image[0] > 1 && image.elements() > image[0]) flattened_[flat] = image;
  return flat;
}

std::int32_t Reader::axis_of(const FileOperator& op, std::int64_t axis, const FileTensor& t) const {
  const std::int64_t rank = static_cast<std::int64_t>(t.shape.size());
  if (axis < 0) axis += rank;
  if (axis < 1 || axis >= rank) bad(op, "axis {} of the shape [{}]", axis, fmt::join(t.shape, ", "));
  return graph_axis(static_cast<std::int32_t>(axis), static_cast<int>(rank) - 1);
}

void Reader::read_split(const FileOperator& op) {
  const bool even = op.code == BuiltinOperator_SPLIT;
  const std::size_t data = even ? 1 : 0;
  const FileTensor& axis = in(op, even ? 0 : 2);
  if (axis.elements() != 1) bad(op, "its axis is no single number");
  Split split{.axis = axis_of(op, integers(axis)[0], in(op, data)), .sizes = {}};
  for (const std::int32_t t : op.outputs) {
    const Shape s = type(t).shape;
    if (split.axis >= s.rank()) bad(op, "its output '{}' has the shape {}", tensor(t).name, to_string(s));
    split.sizes.push_back(s[split.axis]);
    if (!equal_scales(tensor(t), in(op, data))) bad(op, "it changes the scale of '{}'", tensor(t).name);
  }
  emit(op, fresh_name(out(op).name), split, {value(op, data)});
}

}  // namespace micromind::tflite
