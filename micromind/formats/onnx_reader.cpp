#include "micromind/formats/onnx_reader.h"

#include <algorithm>
#include <array>
#include <queue>

#include "micromind/base/text.h"
#include "micromind/formats/onnx.h"

namespace micromind::onnx_file {

Reader::Reader(File file, std::string_view name) : file_(std::move(file)), where_(name) {
  const std::string stem = std::filesystem::path(where_).stem().string();
  const std::string& given = file_.name;
  const bool generic = given.empty() || given == "torch_jit" || given == "torch-jit-export" || given == "main_graph";
  model_.graph.name = generic ? stem : given;
}

Model Reader::run() {
  if (file_.inputs.empty() || file_.outputs.empty()) fail("onnx", "{}: the network has no inputs or no outputs", where_);
  intern_names();
  order_nodes();
  fold_constants();
  find_live();
  match_uneven_pools();
  add_inputs();
  read_all();
  add_outputs();
  return std::move(model_);
}

void Reader::intern_names() {
  const auto intern = [&](const std::string& name) {
    if (name.empty()) return -1;
    const auto [it, added] = ids_.emplace(name, static_cast<int>(tensor_names_.size()));
    if (added) tensor_names_.push_back(name);
    return it->second;
  };
  for (const ConstantPtr& c : file_.constants) intern(c->name);
  for (const FilePort& p : file_.inputs) intern(p.name);
  for (const FileNode& n : file_.nodes) {
    for (const std::string& s : n.inputs) intern(s);
    for (const std::string& s : n.outputs) intern(s);
  }
  for (const FilePort& p : file_.outputs) output_.insert(intern(p.name));
  tensors_.resize(tensor_names_.size());
  readers_.resize(tensor_names_.size());
  producer_.assign(tensor_names_.size(), -1);
  live_.assign(file_.nodes.size(), false);
  absorbed_ = folded_ = live_;

  std::vector<bool> given(tensor_names_.size(), false);
  for (const ConstantPtr& c : file_.constants) {
    if (c->name.empty()) continue;
    Tensor& t = tensor(id(c->name));
    t.kind = Tensor::Kind::constant;
    t.constant = c;
    given[static_cast<std::size_t>(id(c->name))] = true;
    budget_ += 16 * static_cast<std::int64_t>(c->values.size());
  }
  budget_ += 1 << 25;
  for (const FilePort& p : file_.inputs) {
    if (p.name.empty() || given[static_cast<std::size_t>(id(p.name))]) fail("onnx", "{}: the input '{}' is listed twice or has no name", where_, p.name);
    given[static_cast<std::size_t>(id(p.name))] = true;
  }
  for (std::size_t i = 0; i < file_.nodes.size(); ++i) {
    const FileNode& n = file_.nodes[i];
    for (const std::string& s : n.inputs)
      if (!s.empty()) readers_[static_cast<std::size_t>(id(s))].push_back(static_cast<int>(i));
    if (n.outputs.empty()) fail("onnx", "{}: {} has no output", where_, describe(n));
    for (const std::string& s : n.outputs) {
      if (s.empty()) continue;
      const auto t = static_cast<std::size_t>(id(s));
      if (producer_[t] >= 0 || given[t]) fail("onnx", "{}: {} writes '{}', which is an input, a constant or made before", where_, describe(n), s);
      producer_[t] = static_cast<int>(i);
    }
  }
  for (std::size_t i = 0; i < file_.nodes.size(); ++i)
    for (const std::string& s : file_.nodes[i].inputs)
      if (!s.empty() && producer_[static_cast<std::size_t>(id(s))] < 0 && !given[static_cast<std::size_t>(id(s))])
        fail("onnx", "{}: {} reads '{}', which nothing makes", where_, describe(file_.nodes[i]), s);
  for (const FilePort& p : file_.outputs)
    if (p.name.empty() || (producer_[static_cast<std::size_t>(id(p.name))] < 0 && !given[static_cast<std::size_t>(id(p.name))]))
      fail("onnx", "{}: no node makes the output '{}'", where_, p.name);
}

// Those that can run first, in the file's order (Kahn).
void Reader::order_nodes() {
  std::vector<std::size_t> waits(file_.nodes.size(), 0);
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (std::size_t i = 0; i < file_.nodes.size(); ++i) {
    for (const std::string& s : file_.nodes[i].inputs) waits[i] += !s.empty() && producer_[static_cast<std::size_t>(id(s))] >= 0;
    if (waits[i] == 0) ready.push(static_cast<int>(i));
  }
  while (!ready.empty()) {
    const int i = ready.top();
    ready.pop();
    order_.push_back(i);
    for (const std::string& s : node(i).outputs)
      if (!s.empty())
        for (const int reader : readers(id(s)))
          if (--waits[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
  }
  if (order_.size() == file_.nodes.size()) return;
  std::vector<std::string> stuck;
  for (std::size_t i = 0; i < waits.size() && stuck.size() < 8; ++i)
    if (waits[i] > 0) stuck.push_back(describe(file_.nodes[i]));
  fail("onnx", "{}: the graph has a cycle; these wait for each other: {}", where_, fmt::join(stuck, ", "));
}

std::vector<ConstantPtr> Reader::constants_of(const FileNode& n) const {
  std::vector<ConstantPtr> list;
  for (const std::string& s : n.inputs) list.push_back(s.empty() ? nullptr : tensors_[static_cast<std::size_t>(id(s))].constant);
  return list;
}

void Reader::fold_node(int i) {
  const FileNode& n = node(i);
  const ConstantPtr c = fold(n, file_.opset, constants_of(n));
  budget_ -= static_cast<std::int64_t>(c->values.size()) + 16;
  if (budget_ < 0) fail("onnx", "{}: {}: the constants that it and those before compute are too large", where_, describe(n));
  Tensor t;
  t.kind = Tensor::Kind::constant;
  t.constant = c;
  if (!n.outputs[0].empty()) tensor(id(n.outputs[0])) = t;
  folded_[static_cast<std::size_t>(i)] = true;
}

// What does not hang on the inputs. What fails here fails again, and is said, where it is needed.
void Reader::fold_constants() {
  for (const int i : order_) {
    const FileNode& n = node(i);
    if (!can_fold(n)) continue;
    const bool all = std::all_of(n.inputs.begin(), n.inputs.end(), [&](const std::string& s) { return s.empty() || tensor(id(s)).kind == Tensor::Kind::constant; });
    if (!all) continue;
    try {
      fold_node(i);
    } catch (const Error&) {
      if (budget_ < 0) throw;
    }
  }
  for (const int i : order_)
    quantized_ = quantized_ || (node(i).domain.empty() && (node(i).op == "QuantizeLinear" || node(i).op == "DequantizeLinear") &&
                                !folded_[static_cast<std::size_t>(i)]);
}

void Reader::find_live() {
  std::vector<bool> needed(tensor_names_.size(), false);
  for (const int t : output_) needed[static_cast<std::size_t>(t)] = true;
  for (std::size_t k = order_.size(); k-- > 0;) {
    const FileNode& n = node(order_[k]);
    if (folded_[static_cast<std::size_t>(order_[k])]) continue;
    if (std::none_of(n.outputs.begin(), n.outputs.end(), [&](const std::string& s) { return !s.empty() && needed[static_cast<std::size_t>(id(s))]; })) continue;
    live_[static_cast<std::size_t>(order_[k])] = true;
    for (const std::string& s : n.inputs)
      if (!s.empty()) needed[static_cast<std::size_t>(id(s))] = true;
  }
  for (auto& list : readers_) std::erase_if(list, [&](int r) { return !live_[static_cast<std::size_t>(r)]; });
}

int Reader::sole_reader(int t) const {
  const std::vector<int>& list = readers(t);
  return !is_output(t) && list.size() == 1 ? list[0] : -1;
}

void Reader::add_inputs() {
  for (const FilePort& p : file_.inputs) {
    const bool type_fits = p.type == Dtype::float32 || (quantized_ && (p.type == Dtype::int8 || p.type == Dtype::uint8));
    if (!type_fits) fail("onnx", "{}: the input '{}' is {}; expected float32{}", where_, p.name, to_string(p.type), quantized_ ? ", int8 or uint8" : "");
    const std::string shown = fmt::format("{}", fmt::join(p.dims, ", "));
    if (!p.has_shape || p.dims.size() < 2 || p.dims.size() > 4)
      fail_with_hint("onnx", "export with a batch dimension in front: (1, C, H, W)", "{}: the input '{}' has the shape [{}]; expected a batch and 1 to 3 dimensions",
                     where_, p.name, shown);
    Tensor t;
    t.kind = Tensor::Kind::value;
    t.dims = p.dims;
    if (t.dims[0] == -1) t.dims[0] = 1;
    if (t.dims[0] != 1) fail_with_hint("onnx", "export with a batch of one or a free one", "{}: the input '{}' has a batch of {}", where_, p.name, t.dims[0]);
    if (element_count(t.dims) < 1)
      fail_with_hint("onnx", "fix its extents when exporting; -1 stands for a free one", "{}: the input '{}' has the shape [{}]", where_, p.name, shown);
    t.integer = p.type != Dtype::float32;
    // The node that first looks at it, behind quantisation and casts.
    int at = id(p.name), reader = sole_reader(at);
    const auto passes = [&](const std::string& op) { return op == "QuantizeLinear" || op == "DequantizeLinear" || op == "Cast" || op == "Identity"; };
    while (reader >= 0 && passes(node(reader).op) && !node(reader).outputs[0].empty() && node(reader).inputs[0] == tensor_names_[static_cast<std::size_t>(at)])
      reader = sole_reader(at = id(node(reader).outputs[0]));
    Dims dims = t.dims;
    const FileNode* first = reader >= 0 ? &node(reader) : nullptr;
    if (first && first->op == "Transpose" && dims.size() == 4 && find_attribute(*first, "perm") && find_attribute(*first, "perm")->ints == Dims{0, 3, 1, 2}) {
      t.channels_last = true;  // TensorFlow's order, turned at once
      dims = {1, dims[3], dims[1], dims[2]};
    } else if (first && first->op == "Reshape" && dims.size() < 4 && first->inputs.size() > 1 && !first->inputs[1].empty() &&
               tensor(id(first->inputs[1])).kind == Tensor::Kind::constant) {
      // A reshape right behind an input moves no byte: the input takes its shape.
      try {
        const Dims target = resolve_reshape(dims, tensor(id(first->inputs[1])).constant->values, false);
        if (target.size() > dims.size() && target.size() <= 4 && target[0] == 1) t.dims = dims = target;
      } catch (const Error&) {  // said when the reshape is read
      }
    }
    Shape shape;
    for (std::size_t d = 1; d < dims.size(); ++d) shape.append(static_cast<std::int32_t>(dims[d]));
    t.value = model_.graph.add_input(names_.fresh(p.name), TensorType{shape, quantized_ ? ElementType::int8 : ElementType::float32, {}});
    tensor(id(p.name)) = t;
  }
}

void Reader::read_all() {
  for (const int i : order_) {
    if (!live_[static_cast<std::size_t>(i)] || absorbed_[static_cast<std::size_t>(i)]) continue;
    reading_ = i;
    read(i);
  }
  for (const FilePort& p : file_.outputs) {  // what an output stands for is made here
    Tensor& t = tensor(id(p.name));
    if (t.kind == Tensor::Kind::unknown) continue;
    try {
      if (t.kind == Tensor::Kind::constant) unsupported("it does not depend on the inputs");
      if (t.flattened.rank() > 0) unsupported("it flattens an image in another order than the network's");
      if (t.channels_last && model_.graph.shape(t.value).elements() > model_.graph.shape(t.value)[0]) unsupported("its channels are last; end the network before the transpose");
      if (!same_extent(t)) unsupported("it is broadcast");
      materialize(t);
      if (t.dims.size() == 2 && model_.graph.shape(t.value).rank() > 1) t.value = emit(names_.fresh(p.name + ".flatten"), Flatten{}, {t.value});
      if (quantized_ && !model_.graph.type(t.value).quantization) unsupported("it is not quantised: its result is a float");
    } catch (const Error& e) {
      problems_.push_back(fmt::format("output '{}': {}", p.name, e.message()));
    }
  }
  if (problems_.empty()) return;
  constexpr std::size_t kShown = 100;
  const std::size_t count = problems_.size();
  if (count > kShown) {
    problems_.resize(kShown);
    problems_.push_back(fmt::format("and {} more", count - kShown));
  }
  fail_with_hint("onnx", quantized_ ? "every operator must be quantised; or export the float network and run micromind quantize" : "change these layers, or cut the network before them",
                 "{}: {} thing{} cannot be read:\n  {}", where_, count, count == 1 ? "" : "s", fmt::join(problems_, "\n  "));
}

void Reader::read(int i) {
  const FileNode& n = node(i);
  bool unknown = false, all_constant = true;
  for (const std::string& s : n.inputs) {
    if (s.empty()) continue;
    const Tensor& t = tensor(id(s));
    unknown = unknown || t.kind == Tensor::Kind::unknown;
    all_constant = all_constant && t.kind == Tensor::Kind::constant;
  }
  try {
    if (n.op == "Shape" && n.domain.empty() && !unknown && n.inputs.size() == 1 && !all_constant) {
      if (!n.attributes.empty()) unsupported("attribute '{}' is not known", n.attributes[0].name);
      Tensor t;
      t.kind = Tensor::Kind::constant;
      auto c = std::make_shared<Constant>();
      c->type = Dtype::int64;
      c->dims = {static_cast<std::int64_t>(in(n).dims.size())};
      c->values.assign(in(n).dims.begin(), in(n).dims.end());
      t.constant = c;
      if (!n.outputs[0].empty()) tensor(id(n.outputs[0])) = t;
    } else if (all_constant && can_fold(n)) {
      fold_node(i);
    } else if (uneven_.contains(i)) {
      read_uneven_pool(n);
    } else {
      read_supported(n);
    }
  } catch (const Error& e) {
    if (budget_ < 0) throw;
    if (unknown && e.message().find("no such operator") == std::string::npos) return;
    problems_.push_back(fmt::format("{}: {}", describe(n), e.message()));
  }
}

void Reader::read_supported(const FileNode& n) {
  struct Row {
    std::string_view op;
    std::size_t low, high;  // inputs
    void (*read)(Reader&, const FileNode&);
    std::vector<std::string_view> attributes;
  };
  constexpr std::size_t kAny = 1 << 20;
  static const std::vector<Row> table = {
      {"Conv", 2, 3, [](Reader& r, const FileNode& f) { r.read_conv(f); }, {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}},
      {"Gemm", 2, 3, [](Reader& r, const FileNode& f) { r.read_gemm(f); }, {"alpha", "beta", "transA", "transB"}},
      {"MatMul", 2, 2, [](Reader& r, const FileNode& f) { r.read_matmul(f); }, {}},
      {"BatchNormalization", 5, 5, [](Reader& r, const FileNode& f) { r.read_batch_norm(f); }, {"epsilon", "momentum", "spatial", "training_mode"}},
      {"Relu", 1, 1, [](Reader& r, const FileNode& f) { r.read_clip(f, 0, HUGE_VAL); }, {}},
      {"Clip", 1, 3, [](Reader& r, const FileNode& f) { r.read_clip(f); }, {"min", "max"}},
      {"Min", 2, 2, [](Reader& r, const FileNode& f) { r.read_min_max(f, false); }, {}},
      {"Max", 2, 2, [](Reader& r, const FileNode& f) { r.read_min_max(f, true); }, {}},
      {"HardSwish", 1, 1, [](Reader& r, const FileNode& f) { r.read_function(f, Function::hard_swish); }, {}},
      {"HardSigmoid", 1, 1, [](Reader& r, const FileNode& f) { r.read_hard_sigmoid(f); }, {"alpha", "beta"}},
      {"Sigmoid", 1, 1, [](Reader& r, const FileNode& f) { r.read_function(f, Function::sigmoid); }, {}},
      {"Add", 2, 2, [](Reader& r, const FileNode& f) { r.read_add(f); }, {}},
      {"Sum", 1, kAny, [](Reader& r, const FileNode& f) { r.read_sum(f); }, {}},
      {"Sub", 2, 2, [](Reader& r, const FileNode& f) { r.read_scale_shift(f); }, {}},
      {"Mul", 2, 2, [](Reader& r, const FileNode& f) { r.read_multiply(f); }, {}},
      {"Div", 2, 2, [](Reader& r, const FileNode& f) { r.read_scale_shift(f); }, {}},
      {"Neg", 1, 1, [](Reader& r, const FileNode& f) { r.read_scale_shift(f); }, {}},
      {"Concat", 1, kAny, [](Reader& r, const FileNode& f) { r.read_concat(f); }, {"axis"}},
      {"Split", 1, 2, [](Reader& r, const FileNode& f) { r.read_split(f); }, {"axis", "split", "num_outputs"}},
      {"Slice", 1, 5, [](Reader& r, const FileNode& f) { r.read_slice(f); }, {"axes", "starts", "ends"}},
      {"MaxPool", 1, 1, [](Reader& r, const FileNode& f) { r.read_pool(f, true); },
       {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"}},
      {"AveragePool", 1, 1, [](Reader& r, const FileNode& f) { r.read_pool(f, false); },
       {"auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"}},
      {"GlobalAveragePool", 1, 1, [](Reader& r, const FileNode& f) { r.read_global_pool(f, false); }, {}},
      {"GlobalMaxPool", 1, 1, [](Reader& r, const FileNode& f) { r.read_global_pool(f, true); }, {}},
      {"ReduceMean", 1, 2, [](Reader& r, const FileNode& f) { r.read_reduce(f, false); }, {"axes", "keepdims", "noop_with_empty_axes"}},
      {"ReduceMax", 1, 2, [](Reader& r, const FileNode& f) { r.read_reduce(f, true); }, {"axes", "keepdims", "noop_with_empty_axes"}},
      {"Pad", 1, 4, [](Reader& r, const FileNode& f) { r.read_pad(f); }, {"mode", "pads", "value"}},
      {"Flatten", 1, 1, [](Reader& r, const FileNode& f) { r.read_reshape(f); }, {"axis"}},
      {"Reshape", 2, 2, [](Reader& r, const FileNode& f) { r.read_reshape(f); }, {"allowzero"}},
      {"Squeeze", 1, 2, [](Reader& r, const FileNode& f) { r.read_reshape(f); }, {"axes"}},
      {"Unsqueeze", 1, 2, [](Reader& r, const FileNode& f) { r.read_reshape(f); }, {"axes"}},
      {"Transpose", 1, 1, [](Reader& r, const FileNode& f) { r.read_transpose(f); }, {"perm"}},
      {"Expand", 2, 2, [](Reader& r, const FileNode& f) { r.read_expand(f); }, {}},
      {"Resize", 1, 4, [](Reader& r, const FileNode& f) { r.read_resize(f); },
       {"mode", "coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value", "antialias", "axes", "keep_aspect_ratio_policy"}},
      {"Upsample", 1, 2, [](Reader& r, const FileNode& f) { r.read_resize(f); }, {"mode", "scales"}},
      {"Softmax", 1, 1, [](Reader& r, const FileNode& f) { r.read_softmax(f); }, {"axis"}},
      {"Dropout", 1, 3, [](Reader& r, const FileNode& f) { r.alias(f); }, {"ratio", "seed", "is_test"}},
      {"Identity", 1, 1, [](Reader& r, const FileNode& f) { r.alias(f); }, {}},
      {"Cast", 1, 1, [](Reader& r, const FileNode& f) { r.alias(f); }, {"to", "saturate"}},
      {"QuantizeLinear", 2, 3, [](Reader& r, const FileNode& f) { r.read_quantize(f); }, {"axis", "saturate", "block_size", "output_dtype"}},
      {"DequantizeLinear", 2, 3, [](Reader& r, const FileNode& f) { r.read_dequantize(f); }, {"axis", "block_size"}},
  };
  const auto row = std::find_if(table.begin(), table.end(), [&](const Row& r) { return r.op == n.op; });
  if (row == table.end() || !n.domain.empty()) {
    if (n.op == "LogSoftmax" || n.op == "ArgMax")
      unsupported("no such operator in micromind; end the network before it: the class with the largest number is the same");
    if (n.op.starts_with("QLinear")) unsupported("no such operator in micromind; quantise to the QDQ format");
    unsupported("no such operator in micromind");
  }
  if (n.inputs.size() < row->low || n.inputs.size() > row->high) unsupported("it has {} inputs", n.inputs.size());
  for (std::size_t i = 0; i < row->low; ++i)
    if (n.inputs[i].empty()) unsupported("its input {} is absent", i);
  for (const FileAttribute& a : n.attributes)
    if (std::find(row->attributes.begin(), row->attributes.end(), a.name) == row->attributes.end()) unsupported("attribute '{}' is not known", a.name);
  for (std::size_t i = 0; i < n.inputs.size(); ++i)
    if (!n.inputs[i].empty() && tensor(id(n.inputs[i])).kind == Tensor::Kind::unknown) unsupported("it reads what could not be read");
  for (std::size_t k = n.op == "Split" ? n.outputs.size() : 1; k < n.outputs.size(); ++k)
    if (!n.outputs[k].empty() && (!readers(id(n.outputs[k])).empty() || is_output(id(n.outputs[k])))) unsupported("its output {} is used", k);
  row->read(*this, n);
}

const Constant& Reader::constant(const FileNode& n, std::size_t i) {
  if (!has_input(n, i)) unsupported("its input {} is absent", i);
  const Tensor& t = in(n, i);
  if (t.kind != Tensor::Kind::constant) unsupported("its input '{}' is computed; expected a constant", n.inputs[i]);
  return *t.constant;
}

Dims Reader::integers(const FileNode& n, std::size_t i) {
  const Constant& c = constant(n, i);
  if (c.dims.size() > 1 || c.values.size() > 64) unsupported("its input '{}' is no short list of integers", n.inputs[i]);
  Dims list;
  for (const double v : c.values) list.push_back(to_integer(v));
  return list;
}

Dims Reader::attribute_or_input(const FileNode& n, std::string_view name, std::size_t i, const Dims& otherwise) {
  if (find_attribute(n, name)) return integers_attribute(n, name, otherwise);
  return has_input(n, i) ? integers(n, i) : otherwise;
}

// The stem of a parameter ("features.0.weight" → "features.0"), else the node's name, else that of what it makes.
std::string Reader::name_of(const FileNode& n, std::string_view parameter) {
  if (parameter.ends_with(".weight") && parameter.size() > 7) return names_.fresh(parameter.substr(0, parameter.size() - 7));
  std::string name = n.name.empty() ? n.outputs[0] : n.name;
  if (name.ends_with("/" + n.op) && name.size() > n.op.size() + 2) name.resize(name.size() - n.op.size() - 1);
  while (name.starts_with('/')) name.erase(0, 1);
  return names_.fresh(name);
}

void Reader::add_outputs() {
  NodeNames names;  // outputs have names of their own: the node may bear the same one
  for (const FilePort& p : file_.outputs) {
    const Tensor& t = tensor(id(p.name));
    if (t.kind != Tensor::Kind::value) fail("onnx", "{}: nothing makes the output '{}'", where_, p.name);
    model_.graph.add_output(names.fresh(p.name), t.value);
  }
}

}  // namespace micromind::onnx_file

namespace micromind {

Model onnx_from_bytes(std::span<const std::uint8_t> bytes, std::string_view name) {
  return onnx_file::Reader(onnx_file::parse_onnx(bytes, name), name).run();
}

Model read_onnx(const std::filesystem::path& path) {
  std::filesystem::path folder = path.parent_path();
  if (folder.empty()) folder = ".";
  return onnx_file::Reader(onnx_file::parse_onnx(read_bytes(path), path.string(), folder), path.string()).run();
}

}  // namespace micromind
