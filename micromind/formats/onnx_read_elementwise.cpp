// Operators that work element by element. Activations, scales and shifts are held back as expressions (Expression) until
// an operator reads them otherwise.
#include <algorithm>
#include <cmath>

#include "micromind/formats/onnx_reader.h"

namespace micromind::onnx_file {
namespace {

using Kind = Expression::Kind;

bool is_number(const std::vector<float>& v, float x) { return v.size() == 1 && std::fabs(v[0] - x) <= 1e-5f * std::fabs(x); }
bool is_shift_by_three(const Expression& e) { return e.kind == Kind::affine && is_number(e.scale, 1) && is_number(e.shift, 3); }
bool is_function(const Expression& e, Function f) { return e.kind == Kind::function && e.function == f && !e.quantization; }

std::vector<float> combined(const std::vector<float>& a, const std::vector<float>& b, float (*f)(float, float)) {
  std::vector<float> out(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = f(a[a.size() == 1 ? 0 : i], b[b.size() == 1 ? 0 : i]);
  return out;
}

}  // namespace

void Reader::alias(const FileNode& n) {
  if (n.op == "Cast") {
    const auto to = static_cast<Dtype>(integer_attribute(n, "to", 1));
    if (to != Dtype::float32 || in(n).integer) unsupported("it casts to {}", to_string(to));
  }
  set(n, in(n));
}

void Reader::read_function(const FileNode& n, Function f) {
  const int x = real(n);
  Tensor t = made(in(n), x);
  t.expression = {.kind = Kind::function, .function = f, .scale = {}, .shift = {}, .name = n.name.empty() ? n.outputs[0] : n.name, .quantization = {}};
  set(n, t);
}

void Reader::read_hard_sigmoid(const FileNode& n) {
  const float alpha = number_attribute(n, "alpha", 0.2f), beta = number_attribute(n, "beta", 0.5f);
  if (std::fabs(alpha - 1.0f / 6) > 1e-4f || std::fabs(beta - 0.5f) > 1e-6f) unsupported("its alpha is {} and its beta {}; expected 1/6 and 1/2", alpha, beta);
  read_function(n, Function::hard_sigmoid);
}

// min(max(x, low), high)
void Reader::read_clip(const FileNode& n, double low, double high) {
  constexpr double kFar = 3e38;
  if (low <= -kFar && high >= kFar) return alias(n);
  const std::string name = n.name.empty() ? n.outputs[0] : n.name;
  if (in(n).kind != Tensor::Kind::value) unsupported("its input is a constant");
  if (in(n).integer) unsupported("it reads '{}' as integers, without a DequantizeLinear", n.inputs[0]);
  Tensor t = in(n);
  Expression& e = t.expression;
  const bool capped = high == 6;
  if (low != 0 && !(low <= -kFar)) unsupported("it clips to {}…{}; expected 0…6 or a lower bound of 0", low, high);
  if (!capped && high < kFar) unsupported("it clips to {}…{}; expected 0…6 or a lower bound of 0", low, high);
  if (is_shift_by_three(e) && low == 0) {
    e.kind = capped ? Kind::ramp : Kind::half_ramp;
  } else if (e.kind == Kind::half_ramp && capped) {
    e.kind = Kind::ramp;
  } else if (is_function(e, Function::relu) || is_function(e, Function::relu6)) {
    if (capped) e.function = Function::relu6;
  } else {
    if (low != 0) unsupported("it clips at {} alone", high);
    t = made(in(n), real(n));
    t.expression = {.kind = Kind::function, .function = capped ? Function::relu6 : Function::relu, .scale = {}, .shift = {}, .name = name, .quantization = {}};
  }
  t.expression.name = name;
  set(n, t);
}

std::optional<std::pair<double, double>> Reader::clip_bounds(const FileNode& n) {
  if (n.op == "Relu") return std::pair(0.0, HUGE_VAL);
  if (n.op != "Clip") return {};
  const auto bound = [&](const char* attribute, std::size_t i, double otherwise) -> std::optional<double> {
    if (find_attribute(n, attribute)) return number_attribute(n, attribute, 0);
    if (!has_input(n, i)) return otherwise;
    if (!is_constant(n, i) || in(n, i).constant->values.size() != 1) return {};
    return in(n, i).constant->values[0];
  };
  const auto low = bound("min", 1, -HUGE_VAL), high = bound("max", 2, HUGE_VAL);
  if (!low || !high) return {};
  return std::pair(*low, *high);
}

void Reader::read_clip(const FileNode& n) {
  const auto bounds = clip_bounds(n);
  if (!bounds) unsupported("its bounds are no constants");
  read_clip(n, bounds->first, bounds->second);
}

void Reader::read_min_max(const FileNode& n, bool max) {
  const std::size_t c = is_constant(n, 0) ? 0 : 1;
  if (!is_constant(n, c) || in(n, c).constant->values.size() != 1) unsupported("it compares two tensors");
  const double bound = in(n, c).constant->values[0];
  FileNode clip = n;
  clip.inputs = {n.inputs[1 - c]};
  read_clip(clip, max ? bound : -HUGE_VAL, max ? HUGE_VAL : bound);
}

// x + c, x − c, c − x, x·c, x/c, −x with c one number or one a channel.
void Reader::read_scale_shift(const FileNode& n) {
  const bool negative = n.op == "Neg";
  const std::size_t c = negative ? 1 : is_constant(n, 0) ? 0 : 1;
  if (!negative && !is_constant(n, c)) unsupported("it combines two computed tensors");
  const std::size_t x = 1 - c;
  if (in(n, x).kind != Tensor::Kind::value) unsupported("it has no computed input");
  if (in(n, x).integer) unsupported("it reads '{}' as integers, without a DequantizeLinear", n.inputs[x]);
  if (n.op == "Div" && c == 0) unsupported("it divides a constant by a tensor");
  const auto numbers = negative ? std::optional(std::vector<float>{-1}) : per_channel(*in(n, c).constant, in(n, x));
  if (!numbers) unsupported("its constant '{}' is neither one number nor one a channel", n.inputs[c]);
  std::vector<float> scale = {1}, shift = {0};
  const auto inverse = [](float, float v) { return 1 / v; };
  if (n.op == "Add") shift = *numbers;
  if (n.op == "Mul" || negative) scale = *numbers;
  if (n.op == "Div") scale = combined({1}, *numbers, inverse);
  if (n.op == "Sub" && c == 1) shift = combined({0}, *numbers, [](float, float v) { return -v; });
  if (n.op == "Sub" && c == 0) scale = {-1}, shift = *numbers;
  for (const float v : scale)
    if (!std::isfinite(v)) unsupported("it scales by {}", v);

  Tensor t = in(n, x);
  Expression& e = t.expression;
  const bool sixth = is_number(scale, 1.0f / 6) && is_number(shift, 0);
  const auto times = [](float a, float b) { return a * b; };
  const auto plus = [](float a, float b) { return a + b; };
  if (is_number(scale, 1) && std::all_of(shift.begin(), shift.end(), [](float v) { return v == 0; })) {
    set(n, t);
    return;
  }
  if (sixth && e.kind == Kind::ramp) {
    e = {.kind = Kind::function, .function = Function::hard_sigmoid, .scale = {}, .shift = {}, .name = e.name, .quantization = {}};
  } else if (sixth && e.kind == Kind::gated_ramp) {
    e = {.kind = Kind::function, .function = Function::hard_swish, .scale = {}, .shift = {}, .name = e.name, .quantization = {}};
  } else if (e.kind == Kind::affine && sole_reader(id(n.inputs[x])) >= 0) {
    e.shift = combined(combined(e.shift, scale, times), shift, plus);
    e.scale = combined(e.scale, scale, times);
  } else {
    t = made(in(n, x), real(n, x));
    t.expression = {.kind = Kind::affine, .function = Function::none, .scale = scale, .shift = shift, .name = {}, .quantization = {}};
  }
  t.expression.name = n.name.empty() ? n.outputs[0] : n.name;
  set(n, t);
}

void Reader::read_multiply(const FileNode& n) {
  if (is_constant(n, 0) || is_constant(n, 1)) return read_scale_shift(n);
  for (const std::size_t gate : {std::size_t{1}, std::size_t{0}}) {
    const Tensor &g = in(n, gate), &x = in(n, 1 - gate);
    if (g.kind != Tensor::Kind::value || x.kind != Tensor::Kind::value || g.value != x.value || x.expression.kind != Kind::plain || g.dims != x.dims) continue;
    const Expression& e = g.expression;
    // In the int8 form the gate goes through its own scale: silu's table does so with a sigmoid of 1/256.
    const bool unit = !quantized_ || (e.quantization && *e.quantization == Quantization{1.0f / 256, -128});
    Tensor t = x;
    t.expression = {.kind = Kind::function, .function = Function::none, .scale = {}, .shift = {}, .name = n.name.empty() ? n.outputs[0] : n.name, .quantization = {}};
    if (e.kind == Kind::function && e.function == Function::sigmoid && unit) t.expression.function = Function::silu;
    else if (e.kind == Kind::function && e.function == Function::hard_sigmoid && !quantized_) t.expression.function = Function::hard_swish;
    else if (e.kind == Kind::ramp && !quantized_) t.expression.kind = Kind::gated_ramp;
    else continue;
    set(n, t);
    return;
  }
  // Broadcast over an image is what the operator does: a gate that was expanded for it is taken as it was.
  for (const std::size_t k : {std::size_t{0}, std::size_t{1}}) {
    Tensor& t = in(n, k);
    if (t.kind != Tensor::Kind::value) unsupported("its input '{}' is a constant", n.inputs[k]);
    if (t.integer) unsupported("it reads '{}' as integers, without a DequantizeLinear", n.inputs[k]);
    materialize(t);
    settle(n, t);
  }
  const Tensor &a = in(n, 0), &b = in(n, 1);
  if (!(a.flattened == b.flattened)) unsupported("its inputs are flattened in different orders");
  const auto order_matters = [&](const Tensor& t) { return model_.graph.shape(t.value).elements() > model_.graph.shape(t.value)[0]; };
  if (a.dims.size() != b.dims.size() || (a.channels_last != b.channels_last && (order_matters(a) || order_matters(b))))
    unsupported("its inputs have the shapes [{}] and [{}]", fmt::join(a.dims, ", "), fmt::join(b.dims, ", "));
  const std::string name = name_of(n);
  const int v = emit(name, Multiply{}, {a.value, b.value});
  Tensor t = made(same_extent(a) && element_count(a.dims) >= element_count(b.dims) ? a : b, v);
  if (!same_extent(t)) unsupported("its inputs have the shapes [{}] and [{}]", fmt::join(a.dims, ", "), fmt::join(b.dims, ", "));
  set(n, t);
}

void Reader::read_add(const FileNode& n) {
  if (is_constant(n, 0) || is_constant(n, 1)) return read_scale_shift(n);
  const int a = real(n, 0), b = real(n, 1);
  const Tensor ta = in(n, 0), tb = in(n, 1);
  if (ta.dims != tb.dims || ta.channels_last != tb.channels_last || !(ta.flattened == tb.flattened))
    unsupported("its inputs have the shapes [{}] and [{}], in one order each; it cannot broadcast", fmt::join(ta.dims, ", "), fmt::join(tb.dims, ", "));
  const std::string name = name_of(n);
  int out = id(n.outputs[0]);
  const Function fused = quantized_ ? fused_function(n, out) : Function::none;
  const int v = emit(name, Add{fused}, {a, b});
  tensor(out) = made(ta, v);
}

void Reader::read_sum(const FileNode& n) {
  if (n.inputs.size() == 1) return alias(n);
  if (quantized_ && n.inputs.size() > 2) unsupported("it adds {} tensors without rounding in between", n.inputs.size());
  FileNode add = n;
  add.op = "Add";
  for (std::size_t k = 1; k < n.inputs.size(); ++k) {
    add.inputs = {k == 1 ? n.inputs[0] : n.outputs[0], n.inputs[k]};
    if (is_constant(add, 0) || is_constant(add, 1)) unsupported("it adds a constant");
    read_add(add);
  }
}

void Reader::read_softmax(const FileNode& n) {
  const std::size_t rank = in(n).dims.size();
  const std::size_t axis = resolve_axis(integer_attribute(n, "axis", file_.opset < 13 ? 1 : -1), rank);
  const int x = real(n);
  const Tensor t = in(n);
  const std::size_t channels = t.channels_last ? rank - 1 : 1;
  const bool whole = model_.graph.shape(x).elements() == model_.graph.shape(x)[0];  // one softmax over everything
  if (!(axis == channels && (rank == 2 || file_.opset >= 13 || whole))) unsupported("it is not over the channels: axis {} of [{}]", axis, fmt::join(t.dims, ", "));
  if (t.flattened.rank() > 0) unsupported("it is over an image that was flattened in another order");
  set(n, made(t, emit(name_of(n), Softmax{}, {x})));
}

}  // namespace micromind::onnx_file
