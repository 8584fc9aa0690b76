// The int8 form: QuantizeLinear and DequantizeLinear as scales of the graph's values, integer weights in the runtime's
// layouts.
#include <algorithm>
#include <cmath>

#include "micromind/formats/onnx_reader.h"

namespace micromind::onnx_file {

// The scale and zero point of a QuantizeLinear or DequantizeLinear of activations; a uint8 zero point is shifted to int8.
Quantization Reader::quantization_of(const FileNode& n, Dtype type) {
  const Constant& scale = constant(n, 1);
  if (scale.values.size() != 1) unsupported("it has {} scales for activations; expected one", scale.values.size());
  const auto s = static_cast<float>(scale.values[0]);
  if (!std::isfinite(s) || !(s > 0)) unsupported("it has a scale of {}", scale.values[0]);
  double zero = 0;
  if (has_input(n, 2)) {
    const Constant& z = constant(n, 2);
    if (z.values.size() != 1) unsupported("it has {} zero points; expected one", z.values.size());
    if (z.type != type) unsupported("its zero point is {}; expected {}", to_string(z.type), to_string(type));
    zero = z.values[0];
  }
  if (type != Dtype::int8 && type != Dtype::uint8) unsupported("it quantises to {}; expected int8 or uint8", to_string(type));
  if (type == Dtype::uint8) zero -= 128;
  if (zero < -128 || zero > 127) unsupported("it has a zero point of {}", zero);
  return {s, static_cast<std::int32_t>(zero)};
}

Quantization Reader::quantization_at(const FileNode& n) { return quantization_of(n, has_input(n, 2) ? constant(n, 2).type : Dtype::uint8); }

void Reader::read_quantize(const FileNode& n) {
  const Quantization q = quantization_at(n);
  if (in(n).kind != Tensor::Kind::value) unsupported("its input is a constant that could not be folded");
  if (in(n).integer) unsupported("it quantises integers");
  if (Expression& e = in(n).expression; e.kind == Expression::Kind::function && !e.quantization) {
    Tensor t = in(n);  // held back: x·sigmoid(x) may follow
    t.expression.quantization = q;
    t.integer = true;
    set(n, t);
    return;
  }
  Tensor& t = in(n);
  materialize(t);
  auto& given = model_.graph.type(t.value).quantization;
  Tensor out = t;
  out.integer = true;
  if (!given) {
    given = q;
  } else if (!(*given == q)) {
    out.value = emit(name_of(n), Requantize{}, {t.value});
    model_.graph.type(out.value).quantization = q;
  }
  set(n, out);
}

void Reader::read_dequantize(const FileNode& n) {
  Tensor t = in(n);
  if (t.kind != Tensor::Kind::value || !t.integer) unsupported("its input is no quantised tensor");
  const int p = producer_[static_cast<std::size_t>(id(n.inputs[0]))];
  Dtype type = Dtype::int8;
  if (has_input(n, 2)) {
    type = constant(n, 2).type;
  } else if (p < 0) {
    for (const FilePort& port : file_.inputs)
      if (port.name == n.inputs[0]) type = port.type;
  } else {
    type = Dtype::uint8;
    if (node(p).op == "QuantizeLinear" && has_input(node(p), 2)) type = constant(node(p), 2).type;
  }
  const Quantization q = quantization_of(n, type);
  if (t.expression.quantization) {
    if (!(*t.expression.quantization == q)) unsupported("its scale and zero point are not those of the QuantizeLinear before it");
  } else {
    auto& given = model_.graph.type(t.value).quantization;
    if (!given) given = q;
    else if (!(*given == q)) unsupported("its scale and zero point are not those of its input");
  }
  t.integer = false;
  set(n, t);
}

std::optional<Quantization> Reader::quantization_behind(int t, int depth) {
  static const std::set<std::string, std::less<>> moving = {"Relu",      "Clip", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity",
                                                            "Dropout",   "MaxPool", "Pad",  "Split",   "Slice",   "Resize",    "Upsample",  "Concat", "AveragePool"};
  if (t < 0 || depth > 16) return {};
  for (const int r : readers(t)) {
    const FileNode& n = node(r);
    if (!n.domain.empty()) continue;
    if (n.op == "QuantizeLinear" && n.inputs[0] == tensor_names_[static_cast<std::size_t>(t)] && n.inputs.size() > 1 && is_constant(n, 1) &&
        (!has_input(n, 2) || is_constant(n, 2)))
      return quantization_at(n);
    if (moving.contains(n.op) && !n.outputs[0].empty())
      if (const auto q = quantization_behind(id(n.outputs[0]), depth + 1)) return q;
  }
  return {};
}

// relu and relu6 right behind a layer, before anything is rounded, are the layer's. `last`: the tensor behind them.
Function Reader::fused_function(const FileNode& n, int& last) {
  last = id(n.outputs[0]);
  Function f = Function::none;
  for (int r = sole_reader(last); r >= 0 && node(r).domain.empty(); r = sole_reader(last)) {
    const auto bounds = clip_bounds(node(r));
    const bool relu = bounds && bounds->first == 0 && bounds->second > 3e38;
    const bool relu6 = bounds && (bounds->first == 0 || f != Function::none) && bounds->second == 6;
    if ((!relu && !relu6) || node(r).inputs[0] != tensor_names_[static_cast<std::size_t>(last)] || node(r).outputs[0].empty()) break;
    f = relu6 ? Function::relu6 : f == Function::none ? Function::relu : f;
    absorb(r);
    last = id(node(r).outputs[0]);
  }
  return f;
}

// Integer weights as the runtime has them, and the int32 bias at scale input·weight. `transposed`: the file's matrix is
// (in, out). `flattened`: an image whose (C, H, W) columns become (H, W, C).
void Reader::int8_parameters(const FileNode&, const std::string& name, const Constant& w, const Constant* b, bool transposed, const Shape& stored,
                             bool channel_last, const Shape& flattened, float input_scale, std::int32_t channels) {
  if (!w.quantized) unsupported("its weights are not quantised");
  const Dequantized& q = *w.quantized;
  const Dtype type = q.integers.type;
  if (type != Dtype::int8 && type != Dtype::uint8) unsupported("its weights are {}; expected int8", to_string(type));
  const std::int32_t offset = type == Dtype::uint8 ? 128 : 0;
  for (const std::int32_t z : q.zero_points)
    if (z != offset) unsupported("its weights have a zero point of {}; expected {} (symmetric)", z, offset);
  if (q.scales.size() > 1 && q.axis != (transposed ? 1u : 0u)) unsupported("its weights are quantised along dimension {}; expected one scale an output channel", q.axis);
  if (q.scales.size() != 1 && q.scales.size() != static_cast<std::size_t>(channels)) unsupported("its weights have {} scales for {} channels", q.scales.size(), channels);

  Array weight(ElementType::int8, stored), bias(ElementType::int32, {channels});
  const auto out = weight.values<std::int8_t>();
  if (out.size() != q.integers.values.size()) unsupported("its weights have {} numbers; expected {}", q.integers.values.size(), out.size());
  const auto integer = [&](std::size_t i) { return static_cast<std::int8_t>(static_cast<std::int32_t>(q.integers.values[i]) - offset); };
  const auto rows = static_cast<std::size_t>(channels), columns = out.size() / rows;
  if (w.dims.size() == 4) {  // O×I×KH×KW to O×KH×KW×I, or to 1×KH×KW×O
    const auto window = static_cast<std::size_t>(w.dims[2] * w.dims[3]), inner = static_cast<std::size_t>(w.dims[1]);
    for (std::size_t o = 0; o < rows; ++o)
      for (std::size_t i = 0; i < inner; ++i)
        for (std::size_t k = 0; k < window; ++k)
          out[channel_last ? k * rows + o : (o * window + k) * inner + i] = integer((o * inner + i) * window + k);
  } else {
    const std::size_t c = flattened.rank() > 0 ? static_cast<std::size_t>(flattened[0]) : 1, area = columns / c;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t k = 0; k < columns; ++k) {
        const std::size_t ours = flattened.rank() > 0 ? k % area * c + k / area : k;
        out[r * columns + ours] = integer(transposed ? k * rows + r : r * columns + k);
      }
  }
  const auto numbers = bias.values<std::int32_t>();
  for (std::size_t o = 0; b && o < rows; ++o) {
    const float scale = input_scale * q.scales[q.scales.size() == 1 ? 0 : o];
    const std::size_t i = b->values.size() == 1 ? 0 : o;
    if (b->quantized && b->quantized->integers.type == Dtype::int32) {
      const Dequantized& bq = *b->quantized;
      const std::size_t s = bq.scales.size() == 1 ? 0 : i;
      if (bq.scales[s] == scale && bq.zero_points[s] == 0) {
        numbers[o] = static_cast<std::int32_t>(bq.integers.values[i]);
        continue;
      }
    }
    const double steps = b->values[i] == 0 ? 0 : std::round(b->values[i] / static_cast<double>(scale));
    if (!(std::fabs(steps) < 0x1p31)) unsupported("its bias {} does not fit 32 bits at the scale {}", b->values[i], scale);
    numbers[o] = static_cast<std::int32_t>(steps);
  }
  weight.scales = q.scales;
  model_.weights[name + ".weight"] = std::move(weight);
  model_.weights[name + ".bias"] = std::move(bias);
}

}  // namespace micromind::onnx_file
