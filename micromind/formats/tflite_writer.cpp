#include "micromind/formats/tflite_writer.h"

#include <cstring>

#include "micromind/base/error.h"
#include "micromind/formats/tflite.h"

namespace micromind::tflite {

File Writer::run() {
  if (graph_.inputs().empty() || graph_.outputs().empty()) fail("tflite", "'{}' has no inputs or no outputs", graph_.name);
  file_.name = graph_.name;
  file_.description = "micromind";
  file_.minimum_runtime = "2.3.0";  // the first that runs the operator versions written here
  for (std::size_t v = 0; v < graph_.values().size(); ++v) {
    const int index = static_cast<int>(v);
    if (graph_.shape(index).rank() > 3)
      fail("tflite", "'{}' has the shape {}; expected rank 1 to 3", graph_.value_name(index), to_string(graph_.shape(index)));
    tensor_of_value_.push_back(add_intermediate(graph_.value_name(index), graph_.shape(index), quantization(index)));
  }
  for (const Node& node : graph_.nodes())
    std::visit([&](const auto& op) { write(node, op); }, node.op);
  for (const Port& p : graph_.inputs()) {
    file_.inputs.push_back(value(p.value));
    file_.signature_inputs.push_back({p.name, value(p.value)});
  }
  for (const Port& p : graph_.outputs()) {
    file_.outputs.push_back(value(p.value));
    file_.signature_outputs.push_back({p.name, value(p.value)});
  }
  return std::move(file_);
}

std::int32_t Writer::add_tensor(FileTensor tensor) {
  file_.tensors.push_back(std::move(tensor));
  return static_cast<std::int32_t>(file_.tensors.size()) - 1;
}

std::int32_t Writer::add_intermediate(std::string name, const Shape& shape, const Quantization& q) {
  FileTensor t;
  t.name = std::move(name);
  t.shape = file_shape(shape);
  t.scales = {q.scale};
  t.zero_points = {q.zero_point};
  return add_tensor(std::move(t));
}

std::int32_t Writer::add_constant(std::string name, std::vector<std::int32_t> shape, const std::vector<std::int32_t>& values) {
  FileTensor t;
  t.name = std::move(name);
  t.shape = std::move(shape);
  t.type = TensorType_INT32;
  t.constant = true;
  t.data.resize(values.size() * sizeof(std::int32_t));
  std::memcpy(t.data.data(), values.data(), t.data.size());
  return add_tensor(std::move(t));
}

std::int32_t Writer::add_weight(const Node& node, const Shape& shape, int channel_dimension) {
  const std::string name = node.name + ".weight";
  const Array& array = find(model_.weights, name);
  if (array.element() != ElementType::int8 || !(array.shape() == shape))
    fail("tflite", "'{}' is {} {}; expected int8 {}", name, to_string(array.element()), to_string(array.shape()), to_string(shape));
  const std::size_t channels = static_cast<std::size_t>(shape[channel_dimension]);
  if (array.scales.size() != 1 && array.scales.size() != channels)
    fail("tflite", "'{}' has {} scales; expected 1 or {}", name, array.scales.size(), channels);
  FileTensor t;
  t.name = name;
  t.shape.assign(shape.begin(), shape.end());
  t.constant = true;
  const auto values = array.values<std::int8_t>();
  t.data.assign(values.begin(), values.end());
  t.scales = array.scales;
  t.zero_points.assign(t.scales.size(), 0);
  t.quantized_dimension = t.scales.size() == 1 ? 0 : channel_dimension;
  return add_tensor(std::move(t));
}

std::int32_t Writer::add_bias(const Node& node, std::int32_t channels) {
  const std::string name = node.name + ".bias";
  const Array& array = find(model_.weights, name);
  if (array.element() != ElementType::int32 || !(array.shape() == Shape{channels}))
    fail("tflite", "'{}' is {} {}; expected int32 {}", name, to_string(array.element()), to_string(array.shape()), channels);
  const auto values = array.values<std::int32_t>();
  const std::int32_t index = add_constant(name, {channels}, {values.begin(), values.end()});
  FileTensor& t = file_.tensors[static_cast<std::size_t>(index)];
  for (const float s : find(model_.weights, node.name + ".weight").scales) t.scales.push_back(s * quantization(node.inputs[0]).scale);
  t.zero_points.assign(t.scales.size(), 0);
  return index;
}

FileOperator& Writer::add_operator(BuiltinOperator code, std::int32_t version, std::vector<std::int32_t> in, std::vector<std::int32_t> out) {
  FileOperator op;
  op.code = code;
  op.version = version;
  op.inputs = std::move(in);
  op.outputs = std::move(out);
  file_.operators.push_back(std::move(op));
  return file_.operators.back();
}

const Quantization& Writer::quantization(int v) const {
  const auto& type = graph_.type(v);
  if (type.element != ElementType::int8 || !type.quantization)
    fail_with_hint("tflite", "quantise the model first", "'{}' is {}; expected int8 with a scale", graph_.value_name(v), to_string(type.element));
  if (!(type.quantization->scale > 0) || type.quantization->zero_point < -128 || type.quantization->zero_point > 127)
    fail("tflite", "'{}' has scale {} and zero point {}", graph_.value_name(v), type.quantization->scale, type.quantization->zero_point);
  return *type.quantization;
}

std::vector<std::int32_t> Writer::tensors(const std::vector<int>& values) const {
  std::vector<std::int32_t> out;
  for (const int v : values) out.push_back(value(v));
  return out;
}

// TensorFlow Lite's kernels copy, pool and select int8 values as they are.
void Writer::expect_equal_scales(const Node& node) const {
  const Quantization& first = quantization(node.outputs[0]);
  const auto check = [&](int v) {
    if (!(quantization(v) == first))
      fail_with_hint("tflite", "put a requantize in front", "'{}' ({}) needs one scale and zero point; '{}' and '{}' differ", node.name,
                     op_name(node.op), graph_.value_name(v), graph_.value_name(node.outputs[0]));
  };
  for (const int v : node.inputs) check(v);
  for (const int v : node.outputs) check(v);
}

// LOGISTIC and SOFTMAX have a fixed output scale: [0, 1) in 256 steps.
void Writer::expect_unit_scale(const Node& node) const {
  const Quantization& q = quantization(node.outputs[0]);
  if (!(q == Quantization{1.0f / 256, -128}))
    fail("tflite", "'{}' ({}) has scale {} and zero point {}; the format fixes 1/256 and -128", node.name, op_name(node.op), q.scale,
         q.zero_point);
}

ActivationFunctionType Writer::fused(const Node& node, Function function) const {
  switch (function) {
    case Function::none: return ActivationFunctionType_NONE;
    case Function::relu: return ActivationFunctionType_RELU;
    case Function::relu6: return ActivationFunctionType_RELU6;
    default: fail("tflite", "'{}' fuses {}; only relu and relu6 can be fused", node.name, to_string(function));
  }
}

std::int32_t Writer::write_pad(const std::string& name, const Shape& shape, int source, const micromind::Padding& p, bool lowest_value,
                               std::int32_t output) {
  const Quantization& q = quantization(source);
  if (output < 0)
    output = add_intermediate(name, {shape[0], shape[1] + p.top + p.bottom, shape[2] + p.left + p.right}, q);
  const std::int32_t paddings = add_constant(name + ".paddings", {4, 2}, {0, 0, p.top, p.bottom, p.left, p.right, 0, 0});
  if (!lowest_value) {
    add_operator(BuiltinOperator_PAD, 2, {value(source), paddings}, {output});
    return output;
  }
  FileTensor lowest;
  lowest.name = name + ".lowest";
  lowest.constant = true;
  lowest.data = {0x80};
  lowest.scales = {q.scale};
  lowest.zero_points = {q.zero_point};
  const std::int32_t fill = add_tensor(std::move(lowest));
  add_operator(BuiltinOperator_PADV2, 2, {value(source), paddings, fill}, {output});
  return output;
}

Padding Writer::pad_for_window(const Node& node, const Window& window, const micromind::Padding& padding, bool lowest_value, std::int32_t& input) {
  input = value(node.inputs[0]);
  if (const auto form = file_padding(in(node), out(node), window, padding)) return *form;
  input = write_pad(node.name + ".pad", in(node), node.inputs[0], padding, lowest_value, -1);
  return Padding_VALID;
}

}  // namespace micromind::tflite

namespace micromind {

Bytes to_tflite(const Model& model) { return tflite::serialize_file(tflite::Writer(model).run()); }

void write_tflite(const Model& model, const std::filesystem::path& path) { write_atomic(path, to_tflite(model)); }

}  // namespace micromind
