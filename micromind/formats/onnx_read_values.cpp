// Tensors of the file as values of the graph.
#include <algorithm>
#include <utility>

#include "micromind/formats/onnx_reader.h"

namespace micromind::onnx_file {

void Reader::set(const FileNode& n, Tensor t, std::size_t output) {
  if (output < n.outputs.size() && !n.outputs[output].empty()) tensor(id(n.outputs[output])) = std::move(t);
}

Tensor Reader::made(const Tensor& like, int value) const {
  Tensor t = like;
  t.value = value;
  t.expression = {};
  return t;
}

// Of an int8 network the values stay without a quantisation until QuantizeLinear gives it; operators that only move numbers
// take their input's at once.
int Reader::emit(std::string name, Op op, std::vector<int> inputs) {
  const bool moves = std::visit(
      Overloaded{
          [](const Concat&) { return true; }, [](const Split&) { return true; }, [](const MaxPool2d&) { return true; }, [](const AvgPool2d&) { return true; },
          [](const AdaptiveAvgPool2d& o) { return !o.global(); }, [](const Upsample&) { return true; }, [](const Pad&) { return true; },
          [](const Flatten&) { return true; }, [](const Dropout&) { return true; }, [](const Conv2d&) { return false; }, [](const Linear&) { return false; },
          [](const BatchNorm&) { return false; }, [](const Activation&) { return false; }, [](const Add&) { return false; },
          [](const Multiply&) { return false; }, [](const Softmax&) { return false; }, [](const Requantize&) { return false; },
          [](const TakeRows&) { return true; }, [](const JoinRows&) { return true; }},
      op);
  const auto* activation = std::get_if<Activation>(&op);
  const bool unit = std::holds_alternative<Softmax>(op) || (activation && activation->function == Function::sigmoid);
  const auto inherited = quantized_ && moves ? model_.graph.type(inputs[0]).quantization : std::optional<Quantization>();
  const int v = model_.graph.add(std::move(name), std::move(op), std::move(inputs));
  for (const int o : model_.graph.nodes().back().outputs) {
    const Shape& s = model_.graph.shape(o);
    Dims dims(s.begin(), s.end());
    if (element_count(dims) < 1) unsupported("its result has the shape {}", micromind::to_string(s));
    if (!quantized_) continue;
    model_.graph.type(o).element = ElementType::int8;
    if (moves) model_.graph.type(o).quantization = inherited;
    else if (unit) model_.graph.type(o).quantization = Quantization{1.0f / 256, -128};  // TFLite's, the kernels' too
  }
  return v;
}

void Reader::add_parameter(const std::string& name, const Shape& shape, const std::vector<float>& numbers) {
  Array array(ElementType::float32, shape);
  if (array.elements() != static_cast<std::int64_t>(numbers.size())) unsupported("'{}' has {} numbers; expected {}", name, numbers.size(), array.elements());
  std::copy(numbers.begin(), numbers.end(), array.values<float>().begin());
  model_.weights[name] = std::move(array);
}

// y = x·scale + shift a channel, as a batch norm whose statistics are 0 and 1.
int Reader::batch_norm(const std::string& name, int input, const std::vector<float>& scale, const std::vector<float>& shift) {
  if (quantized_) unsupported("a scale or shift by a constant has no int8 form; fold it into the layer before");
  const std::int32_t channels = model_.graph.shape(input)[0];
  const auto spread = [&](const std::vector<float>& v) { return v.size() == 1 ? std::vector<float>(static_cast<std::size_t>(channels), v[0]) : v; };
  const int v = emit(name, BatchNorm{.eps = 0}, {input});
  add_parameter(name + ".weight", {channels}, spread(scale));
  add_parameter(name + ".bias", {channels}, spread(shift));
  add_parameter(name + ".running_mean", {channels}, spread({0}));
  add_parameter(name + ".running_var", {channels}, spread({1}));
  return v;
}

int Reader::materialize(Tensor& t) {
  using Kind = Expression::Kind;
  const Expression e = std::exchange(t.expression, {});
  const int x = t.value;
  const auto ramp = [&](Function f) {
    const int shifted = batch_norm(names_.fresh(e.name + ".shift"), x, {1}, {3});
    return emit(names_.fresh(e.name), Activation{f}, {shifted});
  };
  switch (e.kind) {
    case Kind::plain: break;
    case Kind::affine: t.value = batch_norm(names_.fresh(e.name), x, e.scale, e.shift); break;
    case Kind::half_ramp: t.value = ramp(Function::relu); break;
    case Kind::ramp: t.value = ramp(Function::relu6); break;
    case Kind::gated_ramp: {
      const int gate = ramp(Function::relu6);
      t.value = emit(names_.fresh(e.name + ".product"), Multiply{}, {x, gate});
      break;
    }
    case Kind::function:
      t.value = emit(names_.fresh(e.name), Activation{e.function}, {x});
      if (e.quantization) {
        auto& q = model_.graph.type(t.value).quantization;
        if (!q) {
          q = e.quantization;
        } else if (!(*q == *e.quantization)) {
          t.value = emit(names_.fresh(e.name + ".requantize"), Requantize{}, {t.value});
          model_.graph.type(t.value).quantization = e.quantization;
        }
      }
      break;
  }
  return t.value;
}

bool Reader::same_extent(const Tensor& t) const { return element_count(t.dims) == model_.graph.shape(t.value).elements(); }

// In the int8 form an operator's input has a scale: the file's, or, where an operator that only moves numbers stands between,
// the one that follows.
void Reader::settle(const FileNode& n, const Tensor& t) {
  if (!quantized_ || model_.graph.type(t.value).quantization) return;
  static const std::set<std::string, std::less<>> moving = {"MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Pad",
                                                            "Split",   "Slice",   "Resize",  "Upsample", "Concat",  "AveragePool"};
  if (moving.contains(n.op) && model_.graph.values()[static_cast<std::size_t>(t.value)].producer >= 0)
    if (const auto q = quantization_behind(id(n.outputs[0]))) {
      model_.graph.type(t.value).quantization = q;
      return;
    }
  unsupported("its input '{}' is not quantised", model_.graph.value_name(t.value));
}

int Reader::value(const FileNode& n, std::size_t i) {
  Tensor& t = in(n, i);
  if (t.kind != Tensor::Kind::value) unsupported("its input '{}' is a constant", n.inputs[i]);
  materialize(t);
  if (!same_extent(t)) unsupported("its input '{}' is broadcast to [{}]", n.inputs[i], fmt::join(t.dims, ", "));
  settle(n, t);
  return t.value;
}

int Reader::real(const FileNode& n, std::size_t i) {
  if (in(n, i).kind == Tensor::Kind::value && in(n, i).integer) unsupported("it reads '{}' as integers, without a DequantizeLinear", n.inputs[i]);
  return value(n, i);
}

int Reader::image(const FileNode& n, std::size_t i) {
  const int v = value(n, i);
  const Tensor& t = in(n, i);
  if (t.dims.size() != 4 || model_.graph.shape(v).rank() != 3) unsupported("its input '{}' of the shape [{}] is no image", n.inputs[i], fmt::join(t.dims, ", "));
  const Shape& s = model_.graph.shape(v);
  if (t.channels_last && !(s[1] == 1 && s[2] == 1 && t.dims[1] == s[0])) unsupported("its input '{}' has the channels last", n.inputs[i]);
  return v;
}

// A constant operand that is one number, or one a channel of `t`: its numbers; nothing for other shapes.
std::optional<std::vector<float>> Reader::per_channel(const Constant& c, const Tensor& t) const {
  std::vector<float> out(c.values.begin(), c.values.end());
  if (c.dims.size() > t.dims.size() || out.empty()) return {};
  if (out.size() == 1) return out;
  const Shape& shape = model_.graph.shape(t.value);
  if (t.flattened.rank() > 0 || static_cast<std::int64_t>(out.size()) != shape[0]) return {};
  const std::size_t channel_axis = t.channels_last ? t.dims.size() - 1 : 1;
  if (t.dims[channel_axis] != shape[0]) return {};
  for (std::size_t k = 0; k < c.dims.size(); ++k) {
    const std::size_t axis = t.dims.size() - c.dims.size() + k;
    if (c.dims[k] != (axis == channel_axis ? shape[0] : 1)) return {};
  }
  return out;
}

}  // namespace micromind::onnx_file
