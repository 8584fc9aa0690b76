#include "micromind/formats/onnx_writer.h"

#include <algorithm>
#include <array>
#include <set>

#include "micromind/base/error.h"
#include "micromind/formats/onnx.h"

namespace micromind {

Bytes OnnxWriter::run() {
  if (graph_.inputs().empty() || graph_.outputs().empty()) fail("onnx", "'{}' has no inputs or no outputs", graph_.name);
  name_values();
  add_inputs();
  for (const Node& node : graph_.nodes()) {
    std::visit([&](const auto& o) { write(node, o); }, node.op);
    for (const int v : node.outputs) finish_value(v);
  }
  add_outputs();
  return builder_.finish();
}

// A tensor bears its value's name, or that of the output it is; a value whose name an output has taken gets another.
void OnnxWriter::name_values() {
  const std::size_t n = graph_.values().size();
  value_name_.resize(n);
  std::set<std::string> taken;
  for (const Port& p : graph_.outputs()) {
    std::string& name = value_name_[static_cast<std::size_t>(p.value)];
    const bool is_input = graph_.values()[static_cast<std::size_t>(p.value)].producer < 0;
    if (name.empty() && !is_input) name = p.name;
    taken.insert(p.name);
  }
  for (const Port& p : graph_.inputs()) {
    if (taken.contains(p.name)) fail("onnx", "'{}' is the name of an input and of an output; ONNX needs two", p.name);
    value_name_[static_cast<std::size_t>(p.value)] = p.name;
    taken.insert(p.name);
  }
  for (std::size_t v = 0; v < n; ++v) {
    if (!value_name_[v].empty()) continue;
    value_name_[v] = graph_.value_name(static_cast<int>(v));
    while (taken.contains(value_name_[v])) value_name_[v] += "/value";
    taken.insert(value_name_[v]);
  }
  float_name_ = value_name_;
  if (quantized_)
    for (std::string& name : float_name_) name += "/dequantized";
}

void OnnxWriter::add_inputs() {
  for (const Port& p : graph_.inputs()) {
    builder_.input(p.name, graph_.type(p.value));
    if (quantized_) dequantize(p.name + "/DequantizeLinear", p.name, tensor(p.value), quantization(p.value));
  }
}

void OnnxWriter::add_outputs() {
  for (const Port& p : graph_.outputs()) {
    builder_.output(p.name, graph_.type(p.value));
    // A second name of one value, an input, or a value whose node has vanished.
    const std::string& made = quantized_ ? value_name_[static_cast<std::size_t>(p.value)] : tensor(p.value);
    if (made != p.name) builder_.node("Identity", p.name + "/Identity", {made}, {p.name});
  }
}

std::string OnnxWriter::result(const Node& node, std::size_t i) const {
  const std::string& name = value_name_[static_cast<std::size_t>(node.outputs[i])];
  return quantized_ ? name + "/float" : name;
}

void OnnxWriter::finish_value(int value) {
  if (!quantized_) return;
  const std::string& name = value_name_[static_cast<std::size_t>(value)];
  quantize(name + "/QuantizeLinear", name + "/float", name, quantization(value));
  dequantize(name + "/DequantizeLinear", name, tensor(value), quantization(value));
}

void OnnxWriter::alias(const Node& node) {
  if (quantized_) builder_.node("Identity", node.name, {tensor(node)}, {result(node)});
  else float_name_[static_cast<std::size_t>(node.outputs[0])] = tensor(node);
}

void OnnxWriter::quantize(const std::string& name, const std::string& from, const std::string& to, const Quantization& q) {
  const std::array<std::int8_t, 1> zero_point = {static_cast<std::int8_t>(q.zero_point)};
  builder_.node("QuantizeLinear", name,
                {from, builder_.constant(name + ".scale", {}, std::span<const float>(&q.scale, 1)),
                 builder_.constant(name + ".zero_point", {}, std::span<const std::int8_t>(zero_point))},
                {to});
}

void OnnxWriter::dequantize(const std::string& name, const std::string& from, const std::string& to, const Quantization& q) {
  const std::array<std::int8_t, 1> zero_point = {static_cast<std::int8_t>(q.zero_point)};
  builder_.node("DequantizeLinear", name,
                {from, builder_.constant(name + ".scale", {}, std::span<const float>(&q.scale, 1)),
                 builder_.constant(name + ".zero_point", {}, std::span<const std::int8_t>(zero_point))},
                {to});
}

const Quantization& OnnxWriter::quantization(int value) const {
  const TensorType& type = graph_.type(value);
  if (type.element != ElementType::int8 || !type.quantization || !(type.quantization->scale > 0) || type.quantization->zero_point < -128 ||
      type.quantization->zero_point > 127)
    fail("onnx", "'{}' is {} without a sound scale and zero point in an int8 network", graph_.value_name(value), to_string(type.element));
  return *type.quantization;
}

std::string OnnxWriter::parameter(const Node& node, std::string_view suffix, const Shape& shape) {
  const std::string name = fmt::format("{}.{}", node.name, suffix);
  const Array& array = find(model_.weights, name);
  if (array.element() != ElementType::float32 || !(array.shape() == shape))
    fail("onnx", "'{}' is {} {}; expected float32 {}", name, to_string(array.element()), to_string(array.shape()), to_string(shape));
  return builder_.constant(name, OnnxInts(shape.begin(), shape.end()), array.values<float>());
}

// `shape` is PyTorch's. The int8 form holds O×KH×KW×I, or 1×KH×KW×O for depthwise; linear layers are the same in both.
std::string OnnxWriter::weight(const Node& node, const Shape& shape) {
  if (!quantized_) return parameter(node, "weight", shape);
  const std::string name = node.name + ".weight";
  const Array& array = find(model_.weights, name);
  const auto* conv = std::get_if<Conv2d>(&node.op);
  const bool depthwise = conv && conv->depthwise(in(node));
  const Shape stored = !conv ? shape : depthwise ? Shape{1, shape[2], shape[3], shape[0]} : Shape{shape[0], shape[2], shape[3], shape[1]};
  if (array.element() != ElementType::int8 || !(array.shape() == stored))
    fail("onnx", "'{}' is {} {}; expected int8 {}", name, to_string(array.element()), to_string(array.shape()), to_string(stored));
  const std::size_t channels = static_cast<std::size_t>(shape[0]);
  if (array.scales.size() != 1 && array.scales.size() != channels)
    fail("onnx", "'{}' has {} scales; expected 1 or {}", name, array.scales.size(), channels);
  const auto values = array.values<std::int8_t>();
  std::vector<std::int8_t> ordered(values.begin(), values.end());
  if (conv) {
    const std::size_t window = static_cast<std::size_t>(shape[2]) * static_cast<std::size_t>(shape[3]), inner = static_cast<std::size_t>(stored[3]);
    const std::size_t outer = static_cast<std::size_t>(stored[0]);
    for (std::size_t o = 0; o < outer; ++o)
      for (std::size_t k = 0; k < window; ++k)
        for (std::size_t i = 0; i < inner; ++i) ordered[(o * inner + i) * window + k] = values[(o * window + k) * inner + i];
  }
  const std::string integers = builder_.constant(name, OnnxInts(shape.begin(), shape.end()), std::span<const std::int8_t>(ordered));
  const OnnxInts scales_shape = array.scales.size() == 1 ? OnnxInts{} : OnnxInts{shape[0]};
  const std::vector<std::int8_t> zeros(array.scales.size(), 0);
  builder_.node("DequantizeLinear", name + "/DequantizeLinear",
                {integers, builder_.constant(name + ".scale", scales_shape, std::span<const float>(array.scales)),
                 builder_.constant(name + ".zero_point", scales_shape, std::span<const std::int8_t>(zeros))},
                {name + "/dequantized"}, {{"axis", std::int64_t{0}}});
  return name + "/dequantized";
}

std::string OnnxWriter::bias(const Node& node, std::int32_t channels) {
  if (!quantized_) return parameter(node, "bias", {channels});
  const std::string name = node.name + ".bias";
  const Array& array = find(model_.weights, name);
  if (array.element() != ElementType::int32 || !(array.shape() == Shape{channels}))
    fail("onnx", "'{}' is {} {}; expected int32 {}", name, to_string(array.element()), to_string(array.shape()), channels);
  std::vector<float> scales = find(model_.weights, node.name + ".weight").scales;
  for (float& s : scales) s *= quantization(node.inputs[0]).scale;
  const std::string integers = builder_.constant(name, {channels}, array.values<std::int32_t>());
  const OnnxInts scales_shape = scales.size() == 1 ? OnnxInts{} : OnnxInts{channels};
  const std::vector<std::int32_t> zeros(scales.size(), 0);
  builder_.node("DequantizeLinear", name + "/DequantizeLinear",
                {integers, builder_.constant(name + ".scale", scales_shape, std::span<const float>(scales)),
                 builder_.constant(name + ".zero_point", scales_shape, std::span<const std::int32_t>(zeros))},
                {name + "/dequantized"}, {{"axis", std::int64_t{0}}});
  return name + "/dequantized";
}

Bytes to_onnx(const Model& model) { return OnnxWriter(model).run(); }

void write_onnx(const Model& model, const std::filesystem::path& path) { write_atomic(path, to_onnx(model)); }

}  // namespace micromind
