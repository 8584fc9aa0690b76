#include "micromind/formats/tflite_reader.h"

#include <algorithm>
#include <cstring>

#include "micromind/formats/tflite.h"
#include "micromind/memory/order.h"

namespace micromind::tflite {

Reader::Reader(File file, std::string_view name) : file_(std::move(file)), where_(name) {
  producer_.assign(file_.tensors.size(), -1);
  uses_.assign(file_.tensors.size(), 0);
  value_of_tensor_.assign(file_.tensors.size(), -1);
  roles_.assign(file_.operators.size(), Role::dead);
  const std::string stem = std::filesystem::path(where_).stem().string();
  model_.graph.name = file_.name.empty() || file_.name == "main" ? stem : file_.name;
}

micromind::Model Reader::run() {
  if (file_.inputs.empty() || file_.outputs.empty()) fail("tflite", "{}: the network has no inputs or no outputs", where_);
  check_assignments();
  find_live();
  find_edges();
  find_patterns();
  check_support();
  add_inputs();
  for (std::size_t i = 0; i < file_.operators.size(); ++i) read(static_cast<int>(i));
  add_outputs();
  if (activation_type_ == TensorType_FLOAT32) check_flattened();
  return std::move(model_);
}

std::string Reader::describe(const FileOperator& op) const {
  const std::string name = op.outputs.empty() ? "nothing" : "'" + out(op).name + "'";
  return fmt::format("operator {} ({}, which makes {})", &op - file_.operators.data(), operator_name(op), name);
}

int Reader::sole_reader(std::int32_t t) const {
  if (uses(t) != 1) return -1;
  for (std::size_t i = 0; i < file_.operators.size(); ++i) {
    const auto& in = file_.operators[i].inputs;
    if (roles_[i] != Role::dead && std::find(in.begin(), in.end(), t) != in.end()) return static_cast<int>(i);
  }
  return -1;
}

micromind::TensorType Reader::type(std::int32_t t) const {
  const FileTensor& f = tensor(t);
  const auto shape = graph_shape(f.shape);
  if (!shape)
    fail_with_hint("tflite", "only a batch of one and rank 2 to 4 can be read", "{}: tensor '{}' has the shape [{}]", where_, f.name,
                   fmt::join(f.shape, ", "));
  if (activation_type_ == TensorType_FLOAT32) return {*shape, ElementType::float32, {}};
  if (f.scales.size() != 1 || !(f.scales[0] > 0))
    fail("tflite", "{}: tensor '{}' has {} scales; expected one above 0", where_, f.name, f.scales.size());
  return {*shape, ElementType::int8, Quantization{f.scales[0], static_cast<std::int32_t>(f.zero_points[0])}};
}

bool Reader::equal_scales(const FileTensor& a, const FileTensor& b) const {
  return activation_type_ == TensorType_FLOAT32 || (a.scales == b.scales && a.zero_points == b.zero_points);
}

std::vector<std::int64_t> Reader::integers(const FileTensor& constant) const {
  const std::size_t n = static_cast<std::size_t>(constant.elements());
  std::vector<std::int64_t> out(n);
  if (constant.type == TensorType_INT64) {
    if (n > 0) std::memcpy(out.data(), constant.data.data(), n * sizeof(std::int64_t));
  } else {
    std::vector<std::int32_t> narrow(n);
    if (n > 0) std::memcpy(narrow.data(), constant.data.data(), n * sizeof(std::int32_t));
    std::copy(narrow.begin(), narrow.end(), out.begin());
  }
  return out;
}

// "model/conv2d/Relu;model/bn/Conv2D" → "model.conv2d.Relu"; a name of ours stays as it is.
std::string Reader::fresh_name(std::string_view file_name) {
  std::string_view first = file_name.substr(0, file_name.find(';'));
  if (const auto colon = first.rfind(':'); colon != std::string_view::npos) first = first.substr(0, colon);
  return names_.fresh(first);
}

void Reader::check_assignments() {
  for (const std::int32_t t : file_.inputs)
    if (tensor(t).constant) fail("tflite", "{}: the input '{}' is a constant", where_, tensor(t).name);
  for (std::size_t i = 0; i < file_.operators.size(); ++i)
    for (const std::int32_t t : file_.operators[i].outputs) {
      const bool is_input = std::find(file_.inputs.begin(), file_.inputs.end(), t) != file_.inputs.end();
      if (producer(t) >= 0 || tensor(t).constant || is_input)
        bad(file_.operators[i], "it writes '{}', which is an input, a constant or made before", tensor(t).name);
      producer_[static_cast<std::size_t>(t)] = static_cast<int>(i);
    }
}

// A reshape's shape operand is not followed: converters leave chains of SHAPE, STRIDED_SLICE, PACK there for dynamic
// batches, and the file states the shape itself.
void Reader::find_live() {
  std::vector<bool> needed(file_.tensors.size(), false);
  for (const std::int32_t t : file_.outputs) {
    needed[static_cast<std::size_t>(t)] = true;
    ++uses_[static_cast<std::size_t>(t)];
  }
  for (std::size_t i = file_.operators.size(); i-- > 0;) {
    const FileOperator& op = file_.operators[i];
    if (std::none_of(op.outputs.begin(), op.outputs.end(), [&](std::int32_t t) { return needed[static_cast<std::size_t>(t)]; })) continue;
    roles_[i] = Role::plain;
    for (std::size_t k = 0; k < op.inputs.size(); ++k) {
      if (op.inputs[k] < 0 || (k > 0 && op.code == BuiltinOperator_RESHAPE)) continue;
      needed[static_cast<std::size_t>(op.inputs[k])] = true;
      ++uses_[static_cast<std::size_t>(op.inputs[k])];
    }
  }
}

// Float or uint8 interfaces of int8 networks: a QUANTIZE behind an input, a DEQUANTIZE or QUANTIZE before an output.
void Reader::find_edges() {
  std::size_t int8 = 0, float32 = 0;
  for (std::size_t i = 0; i < file_.operators.size(); ++i)
    if (roles_[i] != Role::dead)
      for (const std::int32_t t : file_.operators[i].outputs) {
        int8 += tensor(t).type == TensorType_INT8;
        float32 += tensor(t).type == TensorType_FLOAT32;
      }
  activation_type_ = int8 > 0 || float32 == 0 ? TensorType_INT8 : TensorType_FLOAT32;
  if (activation_type_ == TensorType_FLOAT32) return;
  for (std::size_t i = 0; i < file_.operators.size(); ++i) {
    const FileOperator& op = file_.operators[i];
    if (roles_[i] == Role::dead || op.inputs.size() != 1 || op.outputs.size() != 1 || op.inputs[0] < 0) continue;
    if (op.code != BuiltinOperator_QUANTIZE && op.code != BuiltinOperator_DEQUANTIZE) continue;
    const auto listed = [](const std::vector<std::int32_t>& list, std::int32_t t) { return std::find(list.begin(), list.end(), t) != list.end(); };
    const bool opens = listed(file_.inputs, op.inputs[0]) && uses(op.inputs[0]) == 1 && in(op).type != TensorType_INT8 &&
                       out(op).type == TensorType_INT8;
    const bool closes = listed(file_.outputs, op.outputs[0]) && uses(op.outputs[0]) == 1 && in(op).type == TensorType_INT8 &&
                        out(op).type != TensorType_INT8;
    if (opens || closes) roles_[i] = Role::edge;
  }
}

void Reader::add_inputs() {
  for (std::size_t i = 0; i < file_.inputs.size(); ++i) {
    const std::int32_t t = file_.inputs[i];
    std::string name = tensor(t).name;
    for (const FilePort& p : file_.signature_inputs)
      if (p.tensor == t && !p.name.empty()) name = p.name;
    std::int32_t shaped = t;  // the tensor whose type the input takes
    if (const int reader = sole_reader(t); reader >= 0 && role(reader) == Role::edge) shaped = op(reader).outputs[0];
    // A reshape right behind an input moves no byte: the input takes its shape.
    for (int reader = sole_reader(shaped); reader >= 0 && op(reader).code == BuiltinOperator_RESHAPE; reader = sole_reader(shaped)) {
      const std::int32_t next = op(reader).outputs[0];
      if (!graph_shape(tensor(next).shape) || tensor(next).elements() != tensor(shaped).elements()) break;
      if (graph_shape(tensor(shaped).shape) && graph_shape(tensor(next).shape)->rank() < graph_shape(tensor(shaped).shape)->rank()) break;
      if (!equal_scales(tensor(shaped), tensor(next))) break;
      role(reader) = Role::absorbed;
      shaped = next;
    }
    if (tensor(shaped).type != activation_type_)
      fail("tflite", "{}: the input '{}' is {}; expected {}", where_, tensor(t).name, EnumNameTensorType(tensor(shaped).type),
           EnumNameTensorType(activation_type_));
    if (value_of_tensor_[static_cast<std::size_t>(shaped)] >= 0) fail("tflite", "{}: the input '{}' is listed twice", where_, tensor(t).name);
    value_of_tensor_[static_cast<std::size_t>(shaped)] = model_.graph.add_input(fresh_name(name), type(shaped));
    for (std::int32_t back = shaped; back != t; back = op(producer(back)).inputs[0]) role(producer(back)) = Role::absorbed;
  }
}

void Reader::add_outputs() {
  std::map<std::string, int> used;
  for (std::size_t i = 0; i < file_.outputs.size(); ++i) {
    std::int32_t t = file_.outputs[i];
    std::string name = tensor(t).name;
    const auto& ports = file_.signature_outputs;
    if (i < ports.size() && ports[i].tensor == t && !ports[i].name.empty()) name = ports[i].name;
    else
      for (const FilePort& p : ports)
        if (p.tensor == t && !p.name.empty()) name = p.name;
    if (const int p = producer(t); p >= 0 && role(p) == Role::edge) t = op(p).inputs[0];
    const int v = value_of_tensor_[static_cast<std::size_t>(t)];
    if (v < 0) fail("tflite", "{}: no operator makes the output '{}'", where_, tensor(t).name);
    // Outputs have names of their own: the node may bear the same one.
    const auto taken = std::exchange(names_, {});
    name = fresh_name(name);
    names_ = taken;
    const std::string base = name;
    while (used.contains(name)) name = fmt::format("{}_{}", base, ++used[base]);
    used.emplace(name, 1);
    model_.graph.add_output(name, v);
  }
}

// The file's flatten gives (H, W, C), a float graph's (C, H, W): only a linear layer's columns can be permuted.
void Reader::check_flattened() const {
  const Graph& g = model_.graph;
  for (const auto& [v, shape] : flattened_) {
    const bool is_output = std::any_of(g.outputs().begin(), g.outputs().end(), [&, value = v](const Port& p) { return p.value == value; });
    const bool read_otherwise = std::any_of(g.nodes().begin(), g.nodes().end(), [&, value = v](const Node& n) {
      return !std::holds_alternative<Linear>(n.op) && std::find(n.inputs.begin(), n.inputs.end(), value) != n.inputs.end();
    });
    if (is_output || read_otherwise)
      fail("tflite", "{}: '{}' flattens an image for something else than a linear layer, which a float network orders differently", where_,
           g.value_name(v));
  }
}

}  // namespace micromind::tflite

namespace micromind {

Model tflite_from_bytes(std::span<const std::uint8_t> bytes, std::string_view name) {
  Model model = tflite::Reader(tflite::parse_file(bytes, name), name).run();
  // What is int8 runs as it is; a float network is ordered when it is lowered.
  if (is_quantized(model)) model.graph = in_best_order(std::move(model.graph));
  return model;
}

Model read_tflite(const std::filesystem::path& path) { return tflite_from_bytes(read_bytes(path), path.string()); }

}  // namespace micromind
