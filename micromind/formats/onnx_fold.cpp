#include "micromind/formats/onnx_fold.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "micromind/base/error.h"

namespace micromind::onnx_file {
namespace {

constexpr std::int64_t kMaxFolded = 1 << 24;

bool is_float(Dtype t) { return t == Dtype::float32 || t == Dtype::float64 || t == Dtype::float16; }

// The value as its type holds it.
double rounded(double v, Dtype type) {
  switch (type) {
    case Dtype::float32: return static_cast<double>(static_cast<float>(v));
    case Dtype::boolean: return v != 0;
    case Dtype::float64:
    case Dtype::float16: return v;
    default: return std::isfinite(v) ? std::trunc(v) : 0;
  }
}

struct Folding {
  const FileNode& node;
  std::int64_t opset;
  const std::vector<ConstantPtr>& in;

  const Constant& input(std::size_t i) const {
    if (i >= in.size() || !in[i]) fail("onnx", "its input {} is absent", i);
    return *in[i];
  }
  bool has(std::size_t i) const { return i < in.size() && in[i]; }

  static Constant make(Dtype type, Dims dims) {
    const std::int64_t n = element_count(dims);
    if (n < 0 || n > kMaxFolded) fail("onnx", "it makes a constant of the shape [{}]", fmt::join(dims, ", "));
    Constant c;
    c.type = type;
    c.dims = std::move(dims);
    c.values.resize(static_cast<std::size_t>(n));
    return c;
  }

  static Dims broadcast(const Dims& a, const Dims& b) {
    Dims out(std::max(a.size(), b.size()), 1);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto extent = [&](const Dims& d) { return i + d.size() < out.size() ? 1 : d[i + d.size() - out.size()]; };
      if (extent(a) != extent(b) && extent(a) != 1 && extent(b) != 1) fail("onnx", "the shapes [{}] and [{}] do not fit", fmt::join(a, ", "), fmt::join(b, ", "));
      out[i] = extent(a) == 1 ? extent(b) : extent(a);
    }
    return out;
  }

  // The value of `c` at an index of a broadcast shape.
  static std::size_t place(const Constant& c, const Dims& out, std::size_t index) {
    std::size_t at = 0, step = 1;
    for (std::size_t k = 0; k < out.size(); ++k) {
      const std::size_t d = out.size() - 1 - k;
      const std::size_t i = index % static_cast<std::size_t>(out[d]);
      index /= static_cast<std::size_t>(out[d]);
      if (k >= c.dims.size()) continue;
      const std::int64_t extent = c.dims[c.dims.size() - 1 - k];
      if (extent != 1) at += i * step;
      step *= static_cast<std::size_t>(extent);
    }
    return at;
  }

  Constant binary(const std::function<double(double, double)>& f, std::optional<Dtype> type = {}) const {
    const Constant &a = input(0), &b = input(1);
    Constant out = make(type.value_or(a.type), broadcast(a.dims, b.dims));
    for (std::size_t i = 0; i < out.values.size(); ++i)
      out.values[i] = rounded(f(a.values[place(a, out.dims, i)], b.values[place(b, out.dims, i)]), out.type);
    return out;
  }

  Constant unary(const std::function<double(double)>& f) const {
    Constant out = input(0);
    out.name.clear();
    out.quantized = nullptr;
    for (double& v : out.values) v = rounded(f(v), out.type);
    return out;
  }

  Dims integers(std::size_t i) const {
    Dims list;
    for (const double v : input(i).values) list.push_back(to_integer(v));
    return list;
  }

  // The same numbers under another shape; where they were dequantised from is forgotten unless it is a matter of names.
  Constant reshaped(Dims dims) const {
    Constant out = input(0);
    if (element_count(dims) != static_cast<std::int64_t>(out.values.size()))
      fail("onnx", "it reshapes [{}] to [{}]", fmt::join(out.dims, ", "), fmt::join(dims, ", "));
    if (dims != out.dims) out.quantized = nullptr;
    out.dims = std::move(dims);
    return out;
  }

  Constant constant() const {
    if (node.attributes.size() != 1) fail("onnx", "it has {} attributes; expected one", node.attributes.size());
    const FileAttribute& a = node.attributes[0];
    const auto list = [&](Dtype type, const auto& values, bool scalar) {
      Constant c = make(type, scalar ? Dims{} : Dims{static_cast<std::int64_t>(values.size())});
      std::copy(values.begin(), values.end(), c.values.begin());
      return c;
    };
    switch (a.kind) {
      case FileAttribute::Kind::tensor: return *a.tensor;
      case FileAttribute::Kind::integer: return list(Dtype::int64, Dims{a.i}, true);
      case FileAttribute::Kind::number: return list(Dtype::float32, std::vector<float>{a.f}, true);
      case FileAttribute::Kind::integers: return list(Dtype::int64, a.ints, false);
      case FileAttribute::Kind::numbers: return list(Dtype::float32, a.floats, false);
      default: fail("onnx", "attribute '{}' is not supported", a.name);
    }
  }

  Constant gather() const {
    const Constant &data = input(0), &index = input(1);
    const std::size_t axis = resolve_axis(integer_attribute(node, "axis", 0), data.dims.size());
    Dims dims(data.dims.begin(), data.dims.begin() + static_cast<std::ptrdiff_t>(axis));
    dims.insert(dims.end(), index.dims.begin(), index.dims.end());
    dims.insert(dims.end(), data.dims.begin() + static_cast<std::ptrdiff_t>(axis) + 1, data.dims.end());
    Constant out = make(data.type, dims);
    const std::int64_t extent = data.dims[axis];
    std::size_t inner = 1;
    for (std::size_t d = axis + 1; d < data.dims.size(); ++d) inner *= static_cast<std::size_t>(data.dims[d]);
    const std::size_t picks = index.values.size();
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      const std::size_t outer = i / inner / picks, pick = i / inner % picks;
      std::int64_t k = to_integer(index.values[pick]);
      if (k < 0) k += extent;
      if (k < 0 || k >= extent) fail("onnx", "it takes element {} of {}", k, extent);
      out.values[i] = data.values[(outer * static_cast<std::size_t>(extent) + static_cast<std::size_t>(k)) * inner + i % inner];
    }
    return out;
  }

  Constant concat() const {
    const std::size_t axis = resolve_axis(integer_attribute(node, "axis", 0), input(0).dims.size());
    Dims dims = input(0).dims;
    dims[axis] = 0;
    for (std::size_t k = 0; k < in.size(); ++k) {
      const Dims& d = input(k).dims;
      bool fits = d.size() == dims.size();
      for (std::size_t i = 0; fits && i < d.size(); ++i) fits = i == axis || d[i] == dims[i];
      if (!fits) fail("onnx", "its inputs do not fit each other");
      dims[axis] += d[axis];
    }
    Constant out = make(input(0).type, dims);
    std::size_t inner = 1, outer = 1, at = 0;
    for (std::size_t d = 0; d < dims.size(); ++d) (d < axis ? outer : inner) *= static_cast<std::size_t>(d == axis ? 1 : dims[d]);
    for (std::size_t o = 0; o < outer; ++o)
      for (std::size_t k = 0; k < in.size(); ++k) {
        const std::size_t n = inner * static_cast<std::size_t>(input(k).dims[axis]);
        for (std::size_t i = 0; i < n; ++i) out.values[at++] = input(k).values[o * n + i];
      }
    return out;
  }

  Constant slice() const {
    const Constant& data = input(0);
    const bool attributes = opset < 10;
    const Dims starts = attributes ? integers_attribute(node, "starts", {}) : integers(1);
    const Dims ends = attributes ? integers_attribute(node, "ends", {}) : integers(2);
    Dims axes(starts.size()), steps(starts.size(), 1);
    std::iota(axes.begin(), axes.end(), 0);
    if (attributes) axes = integers_attribute(node, "axes", axes);
    else if (has(3)) axes = integers(3);
    if (!attributes && has(4)) steps = integers(4);
    if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size()) fail("onnx", "its operands differ in length");
    Dims first(data.dims.size(), 0), step(data.dims.size(), 1), dims = data.dims;
    for (std::size_t k = 0; k < axes.size(); ++k) {
      const std::size_t d = resolve_axis(axes[k], dims.size());
      const std::int64_t n = data.dims[d], s = steps[k];
      if (s == 0 || std::abs(s) > kMaxExtent) fail("onnx", "it has a step of {}", s);
      const auto bound = [&](std::int64_t v) { return std::clamp<std::int64_t>(v < 0 ? v + n : v, s < 0 ? -1 : 0, s < 0 ? n - 1 : n); };
      const std::int64_t begin = bound(starts[k]), end = bound(ends[k]);
      first[d] = begin;
      step[d] = s;
      dims[d] = std::max<std::int64_t>(0, s > 0 ? (end - begin + s - 1) / s : (begin - end - s - 1) / -s);
    }
    Constant out = make(data.type, dims);
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      std::size_t rest = i, at = 0, stride = 1;
      for (std::size_t d = dims.size(); d-- > 0;) {
        const std::int64_t k = static_cast<std::int64_t>(rest % static_cast<std::size_t>(dims[d]));
        rest /= static_cast<std::size_t>(dims[d]);
        at += static_cast<std::size_t>(first[d] + k * step[d]) * stride;
        stride *= static_cast<std::size_t>(data.dims[d]);
      }
      out.values[i] = data.values[at];
    }
    return out;
  }

  static Constant transposed(const Constant& from, const std::vector<std::size_t>& order) {
    Dims dims;
    for (const std::size_t d : order) dims.push_back(from.dims[d]);
    Constant out = make(from.type, dims);
    std::vector<std::size_t> strides(dims.size());
    std::size_t step = 1;
    for (std::size_t d = dims.size(); d-- > 0;) {
      strides[d] = step;
      step *= static_cast<std::size_t>(from.dims[d]);
    }
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      std::size_t rest = i, at = 0;
      for (std::size_t d = dims.size(); d-- > 0;) {
        at += rest % static_cast<std::size_t>(dims[d]) * strides[order[d]];
        rest /= static_cast<std::size_t>(dims[d]);
      }
      out.values[i] = from.values[at];
    }
    return out;
  }

  Constant transpose() const {
    const Constant& from = input(0);
    std::vector<std::size_t> order(from.dims.size());
    std::iota(order.rbegin(), order.rend(), 0);
    if (const Dims perm = integers_attribute(node, "perm", {}); !perm.empty()) {
      std::vector<bool> seen(order.size(), false);
      if (perm.size() != order.size()) fail("onnx", "its perm has {} entries for {} dimensions", perm.size(), order.size());
      for (std::size_t k = 0; k < perm.size(); ++k) {
        order[k] = resolve_axis(perm[k], order.size());
        if (seen[order[k]]) fail("onnx", "its perm names a dimension twice");
        seen[order[k]] = true;
      }
    }
    Constant out = transposed(from, order);
    out.name = from.name;
    if (from.quantized) {
      auto q = std::make_shared<Dequantized>(*from.quantized);
      q->integers = transposed(from.quantized->integers, order);
      q->integers.name = from.quantized->integers.name;
      if (q->scales.size() > 1) q->axis = static_cast<std::size_t>(std::find(order.begin(), order.end(), q->axis) - order.begin());
      out.quantized = q;
    }
    return out;
  }

  Constant unsqueezed() const {
    const Dims axes = opset < 13 ? integers_attribute(node, "axes", {}) : integers(1);
    Dims dims = input(0).dims;
    const std::size_t rank = dims.size() + axes.size();
    if (rank > 8) fail("onnx", "it makes {} dimensions", rank);
    std::vector<bool> added(rank, false);
    for (const std::int64_t a : axes) added[resolve_axis(a, rank)] = true;
    Dims out;
    std::size_t next = 0;
    for (std::size_t d = 0; d < rank; ++d) {
      if (!added[d] && next >= dims.size()) fail("onnx", "its axes name a dimension twice");
      out.push_back(added[d] ? 1 : dims[next++]);
    }
    return reshaped(out);
  }

  Constant squeezed() const {
    Dims dims = input(0).dims, axes;
    if (opset < 13) axes = integers_attribute(node, "axes", {});
    else if (has(1)) axes = integers(1);
    std::vector<bool> gone(dims.size(), false);
    if (axes.empty())
      for (std::size_t d = 0; d < dims.size(); ++d) gone[d] = dims[d] == 1;
    for (const std::int64_t a : axes) gone[resolve_axis(a, dims.size())] = true;
    Dims out;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      if (!gone[d]) out.push_back(dims[d]);
      else if (dims[d] != 1) fail("onnx", "it squeezes an extent of {}", dims[d]);
    }
    return reshaped(out);
  }

  Constant expand() const {
    const Constant& from = input(0);
    Constant out = make(from.type, broadcast(from.dims, integers(1)));
    for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] = from.values[place(from, out.dims, i)];
    return out;
  }

  Constant constant_of_shape() const {
    const FileAttribute* value = find_attribute(node, "value");
    if (value && (value->kind != FileAttribute::Kind::tensor || value->tensor->values.size() != 1)) fail("onnx", "its value is no single number");
    Constant out = make(value ? value->tensor->type : Dtype::float32, integers(0));
    std::fill(out.values.begin(), out.values.end(), value ? value->tensor->values[0] : 0.0);
    return out;
  }

  Constant reduce(double start, const std::function<double(double, double)>& f) const {
    const Constant& from = input(0);
    Dims axes;
    if (const Dims listed = integers_attribute(node, "axes", {}); !listed.empty()) axes = listed;
    else if (has(1)) axes = integers(1);
    if (!axes.empty() && (axes.size() != 1 || from.dims.size() != 1)) fail("onnx", "it reduces several dimensions");
    Constant out = make(from.type, integer_attribute(node, "keepdims", 1) != 0 ? Dims(from.dims.size(), 1) : Dims{});
    double v = start;
    for (const double x : from.values) v = f(v, x);
    out.values[0] = rounded(v, out.type);
    return out;
  }

  Constant where() const {
    const Constant &condition = input(0), &a = input(1), &b = input(2);
    Constant out = make(a.type, broadcast(broadcast(condition.dims, a.dims), b.dims));
    for (std::size_t i = 0; i < out.values.size(); ++i)
      out.values[i] = condition.values[place(condition, out.dims, i)] != 0 ? a.values[place(a, out.dims, i)] : b.values[place(b, out.dims, i)];
    return out;
  }

  Constant range() const {
    for (std::size_t i = 0; i < 3; ++i)
      if (input(i).values.size() != 1) fail("onnx", "its input {} has {} numbers; expected one", i, input(i).values.size());
    const double start = input(0).values[0], limit = input(1).values[0], delta = input(2).values[0];
    const double n = delta != 0 ? std::max(0.0, std::ceil((limit - start) / delta)) : -1;
    if (!(n >= 0 && n <= kMaxFolded)) fail("onnx", "it makes a range of {} numbers", n);
    Constant out = make(input(0).type, {static_cast<std::int64_t>(n)});
    for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] = rounded(start + static_cast<double>(i) * delta, out.type);
    return out;
  }

  // --- quantisation of constants ---
  struct Steps {
    std::vector<float> scales;
    std::vector<std::int32_t> zero_points;
    std::size_t axis = 0, inner = 1;
  };
  Steps steps(const Dims& dims, Dtype fallback, Dtype& type) const {
    Steps s;
    type = has(2) ? input(2).type : fallback;
    for (const double v : input(1).values) {
      s.scales.push_back(static_cast<float>(v));
      if (!std::isfinite(v) || v < 0) fail("onnx", "it has a scale of {}", v);
    }
    s.zero_points.assign(s.scales.size(), 0);
    if (has(2)) {
      if (input(2).values.size() != s.scales.size()) fail("onnx", "it has {} scales and {} zero points", s.scales.size(), input(2).values.size());
      for (std::size_t i = 0; i < s.scales.size(); ++i) s.zero_points[i] = static_cast<std::int32_t>(to_integer(input(2).values[i]));
    }
    if (s.scales.empty()) fail("onnx", "it has no scale");
    if (s.scales.size() == 1) return s;
    s.axis = resolve_axis(integer_attribute(node, "axis", 1), dims.size());
    if (dims[s.axis] != static_cast<std::int64_t>(s.scales.size()))
      fail("onnx", "its {} scales do not fit dimension {} of [{}]", s.scales.size(), s.axis, fmt::join(dims, ", "));
    for (std::size_t d = s.axis + 1; d < dims.size(); ++d) s.inner *= static_cast<std::size_t>(dims[d]);
    return s;
  }

  Constant quantize() const {
    const Constant& from = input(0);
    Dtype type;
    const Steps s = steps(from.dims, Dtype::uint8, type);
    if (type != Dtype::int8 && type != Dtype::uint8) fail("onnx", "it quantises to {}", to_string(type));
    Constant out = make(type, from.dims);
    out.name = from.name;
    const double low = type == Dtype::int8 ? -128 : 0, high = low + 255;
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      const std::size_t c = s.scales.size() == 1 ? 0 : i / s.inner % s.scales.size();
      const double steps_of = s.scales[c] > 0 ? std::nearbyint(static_cast<double>(static_cast<float>(from.values[i]) / s.scales[c])) : 0;
      out.values[i] = std::isnan(steps_of) ? low : std::clamp(steps_of + s.zero_points[c], low, high);
    }
    return out;
  }

  Constant dequantize() const {
    const Constant& from = input(0);
    if (from.type != Dtype::int8 && from.type != Dtype::uint8 && from.type != Dtype::int32) fail("onnx", "it reads {}", to_string(from.type));
    Dtype type;
    const Steps s = steps(from.dims, from.type, type);
    if (type != from.type) fail("onnx", "its zero point is {} for {}", to_string(type), to_string(from.type));
    Constant out = make(Dtype::float32, from.dims);
    out.name = from.name;
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      const std::size_t c = s.scales.size() == 1 ? 0 : i / s.inner % s.scales.size();
      out.values[i] = rounded((from.values[i] - s.zero_points[c]) * s.scales[c], Dtype::float32);
    }
    auto q = std::make_shared<Dequantized>();
    q->integers = from;
    q->scales = s.scales;
    q->zero_points = s.zero_points;
    q->axis = s.axis;
    out.quantized = q;
    return out;
  }

  Constant cast() const {
    Constant out = input(0);
    const auto to = static_cast<Dtype>(integer_attribute(node, "to", 1));
    if (byte_size(to) == 0) fail("onnx", "it casts to {}", to_string(to));
    if (to != out.type) out.quantized = nullptr;
    out.type = to;
    for (double& v : out.values) v = rounded(v, to);
    return out;
  }

  Constant divide() const {
    const bool whole = !is_float(input(0).type);
    if (whole && std::any_of(input(1).values.begin(), input(1).values.end(), [](double v) { return v == 0; })) fail("onnx", "it divides by zero");
    return binary([](double a, double b) { return a / b; });
  }

  Constant shape_of() const {
    const Dims& d = input(0).dims;
    Constant out = make(Dtype::int64, {static_cast<std::int64_t>(d.size())});
    std::copy(d.begin(), d.end(), out.values.begin());
    return out;
  }
};

using Rule = Constant (*)(const Folding&);
const std::map<std::string, Rule, std::less<>>& rules() {
  static const std::map<std::string, Rule, std::less<>> table = {
      {"Constant", [](const Folding& f) { return f.constant(); }},
      {"ConstantOfShape", [](const Folding& f) { return f.constant_of_shape(); }},
      {"Shape", [](const Folding& f) { return f.shape_of(); }},
      {"Identity", [](const Folding& f) { return Constant(f.input(0)); }},
      {"Dropout", [](const Folding& f) { return Constant(f.input(0)); }},
      {"Cast", [](const Folding& f) { return f.cast(); }},
      {"Gather", [](const Folding& f) { return f.gather(); }},
      {"Concat", [](const Folding& f) { return f.concat(); }},
      {"Slice", [](const Folding& f) { return f.slice(); }},
      {"Transpose", [](const Folding& f) { return f.transpose(); }},
      {"Unsqueeze", [](const Folding& f) { return f.unsqueezed(); }},
      {"Squeeze", [](const Folding& f) { return f.squeezed(); }},
      {"Reshape",
       [](const Folding& f) {
         if (f.opset < 5) fail("onnx", "its shape is an attribute");
         return f.reshaped(resolve_reshape(f.input(0).dims, f.input(1).values, integer_attribute(f.node, "allowzero", 0) != 0));
       }},
      {"Expand", [](const Folding& f) { return f.expand(); }},
      {"Where", [](const Folding& f) { return f.where(); }},
      {"Range", [](const Folding& f) { return f.range(); }},
      {"Add", [](const Folding& f) { return f.binary([](double a, double b) { return a + b; }); }},
      {"Sub", [](const Folding& f) { return f.binary([](double a, double b) { return a - b; }); }},
      {"Mul", [](const Folding& f) { return f.binary([](double a, double b) { return a * b; }); }},
      {"Div", [](const Folding& f) { return f.divide(); }},
      {"Pow", [](const Folding& f) { return f.binary([](double a, double b) { return std::pow(a, b); }); }},
      {"Min", [](const Folding& f) { return f.binary([](double a, double b) { return std::min(a, b); }); }},
      {"Max", [](const Folding& f) { return f.binary([](double a, double b) { return std::max(a, b); }); }},
      {"Equal", [](const Folding& f) { return f.binary([](double a, double b) { return double(a == b); }, Dtype::boolean); }},
      {"Neg", [](const Folding& f) { return f.unary([](double v) { return -v; }); }},
      {"Sqrt", [](const Folding& f) { return f.unary([](double v) { return std::sqrt(v); }); }},
      {"Reciprocal", [](const Folding& f) { return f.unary([](double v) { return 1 / v; }); }},
      {"Exp", [](const Folding& f) { return f.unary([](double v) { return std::exp(v); }); }},
      {"Floor", [](const Folding& f) { return f.unary([](double v) { return std::floor(v); }); }},
      {"Ceil", [](const Folding& f) { return f.unary([](double v) { return std::ceil(v); }); }},
      {"ReduceProd", [](const Folding& f) { return f.reduce(1, [](double a, double b) { return a * b; }); }},
      {"ReduceSum", [](const Folding& f) { return f.reduce(0, [](double a, double b) { return a + b; }); }},
      {"QuantizeLinear", [](const Folding& f) { return f.quantize(); }},
      {"DequantizeLinear", [](const Folding& f) { return f.dequantize(); }},
  };
  return table;
}

}  // namespace

bool can_fold(const FileNode& node) { return node.domain.empty() && rules().contains(node.op); }

ConstantPtr fold(const FileNode& node, std::int64_t opset, const std::vector<ConstantPtr>& inputs) {
  return std::make_shared<const Constant>(rules().find(node.op)->second(Folding{node, opset, inputs}));
}

const FileAttribute* find_attribute(const FileNode& node, std::string_view name) {
  for (const FileAttribute& a : node.attributes)
    if (a.name == name) return &a;
  return nullptr;
}

namespace {
const FileAttribute* typed_attribute(const FileNode& node, std::string_view name, FileAttribute::Kind kind) {
  const FileAttribute* a = find_attribute(node, name);
  if (a && a->kind != kind) fail("onnx", "attribute '{}' has the wrong type", name);
  return a;
}
}  // namespace

std::int64_t integer_attribute(const FileNode& node, std::string_view name, std::int64_t otherwise) {
  const FileAttribute* a = typed_attribute(node, name, FileAttribute::Kind::integer);
  return a ? a->i : otherwise;
}
float number_attribute(const FileNode& node, std::string_view name, float otherwise) {
  const FileAttribute* a = typed_attribute(node, name, FileAttribute::Kind::number);
  return a ? a->f : otherwise;
}
std::string text_attribute(const FileNode& node, std::string_view name, std::string_view otherwise) {
  const FileAttribute* a = typed_attribute(node, name, FileAttribute::Kind::text);
  return a ? a->s : std::string(otherwise);
}
Dims integers_attribute(const FileNode& node, std::string_view name, const Dims& otherwise) {
  const FileAttribute* a = typed_attribute(node, name, FileAttribute::Kind::integers);
  return a ? a->ints : otherwise;
}

std::size_t resolve_axis(std::int64_t axis, std::size_t rank) {
  const auto n = static_cast<std::int64_t>(rank);
  if (axis < -n || axis >= n) fail("onnx", "it names dimension {} of {}", axis, rank);
  return static_cast<std::size_t>(axis < 0 ? axis + n : axis);
}

Dims resolve_reshape(const Dims& from, const std::vector<double>& target, bool zero_is_zero) {
  if (target.size() > 8) fail("onnx", "it reshapes to {} dimensions", target.size());
  Dims out;
  std::int64_t known = 1, total = element_count(from);
  std::size_t free = target.size();
  for (std::size_t i = 0; i < target.size(); ++i) {
    std::int64_t d = to_integer(target[i]);
    if (d == 0 && !zero_is_zero) {
      if (i >= from.size()) fail("onnx", "it copies dimension {} of {}", i, from.size());
      d = from[i];
    }
    if (d == -1 && free == target.size()) free = i;
    else if (d < 1 || d > kMaxExtent || known * d > kMaxElements) fail("onnx", "it reshapes to an extent of {}", d);
    else known *= d;
    out.push_back(d);
  }
  if (free < out.size()) out[free] = total % known == 0 ? total / known : 0;
  if (element_count(out) != total) fail("onnx", "it reshapes [{}] to [{}]", fmt::join(from, ", "), fmt::join(out, ", "));
  return out;
}

std::int64_t to_integer(double value) {
  constexpr double kLimit = 9007199254740992.0;
  return std::isnan(value) ? 0 : static_cast<std::int64_t>(std::clamp(value, -kLimit, kLimit));
}

}  // namespace micromind::onnx_file
