#include "micromind/quantize/calls.h"

#include <array>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/quantize/fixed_point.h"

namespace micromind {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Extents in the order of memory.
struct Extents {
  std::int32_t h, w, c;
  explicit Extents(const Shape& s) : h(s.height()), w(s.width()), c(s.channels()) {}
};

// Builds the call of one node. Errors name the node.
class Builder {
 public:
  Builder(const Model& model, const Node& node) : model_(model), graph_(model.graph), node_(node) {
    for (const int v : node.inputs) check(v);
    for (const int v : node.outputs) check(v);
  }

  KernelCall operator()(const Conv2d& op) const {
    const Shape& in = shape(node_.inputs[0]);
    const Extents i(in), o(shape(node_.outputs[0]));
    if (!op.depthwise(in)) {
      ConvCall call{};
      fill_window(call.params, op, i, o);
      call.params.groups = op.groups;
      call.requantization = requantization({op.out_channels, op.kernel.h, op.kernel.w, in.channels() / op.groups}, op.out_channels);
      return call;
    }
    DepthwiseCall call{};
    fill_window(call.params, op, i, o);
    call.requantization = requantization({1, op.kernel.h, op.kernel.w, op.out_channels}, op.out_channels);
    return call;
  }

  KernelCall operator()(const Linear& op) const {
    LinearCall call{};
    call.params.in_features = shape(node_.inputs[0])[0];
    call.params.out_features = op.out_features;
    fill_ends(call.params, op.activation);
    call.requantization = requantization({op.out_features, call.params.in_features}, op.out_features);
    call.params.per_channel = call.requantization.multiplier.size() > 1 ? 1 : 0;
    return call;
  }

  KernelCall operator()(const Activation& op) const {
    const Quantization &i = in(0), &o = out();
    switch (op.function) {
      case Function::relu: return table(relu_table(0, kInfinity, i.scale, i.zero_point, o.scale, o.zero_point));
      case Function::relu6: return table(relu_table(0, 6, i.scale, i.zero_point, o.scale, o.zero_point));
      case Function::hard_swish: return table(hard_swish_table(i.scale, i.zero_point, o.scale, o.zero_point));
      case Function::silu: return table(silu_table(i.scale, i.zero_point, o.scale, o.zero_point));
      case Function::sigmoid:
        if (!(o == Quantization{1.0f / 256, -128})) wrong("a sigmoid's output must have scale 1/256 and zero point -128");
        return table(logistic_table(i.scale, i.zero_point));
      case Function::hard_sigmoid: return table(hard_sigmoid_table(i.scale, i.zero_point, o.scale, o.zero_point));
      case Function::none: break;
    }
    wrong("an activation without a function");
  }
  KernelCall operator()(const Requantize&) const {
    return table(requantize_table(in(0).scale, in(0).zero_point, out().scale, out().zero_point));
  }

  KernelCall operator()(const Add& op) const {
    const AddFactors f = add_factors(in(0).scale, in(1).scale, out().scale);
    AddCall call{};
    call.params = {.count = elements(node_.outputs[0]),
                   .input1_offset = -in(0).zero_point,
                   .input1_multiplier = f.input1.multiplier,
                   .input1_shift = f.input1.shift,
                   .input2_offset = -in(1).zero_point,
                   .input2_multiplier = f.input2.multiplier,
                   .input2_shift = f.input2.shift,
                   .output_offset = out().zero_point,
                   .output_multiplier = f.output.multiplier,
                   .output_shift = f.output.shift,
                   .act_min = limits(op.activation).min,
                   .act_max = limits(op.activation).max,
                   .left_shift = f.left_shift};
    return call;
  }

  KernelCall operator()(const Multiply&) const {
    const Extents o(shape(node_.outputs[0]));
    const FixedPointFactor factor = quantize_multiplier(mul_factor(in(0).scale, in(1).scale, out().scale));
    MulCall call{};
    mm_mul_s8_params& p = call.params;
    p.out_h = o.h;
    p.out_w = o.w;
    p.out_c = o.c;
    set_strides(shape(node_.inputs[0]), p.stride1_h, p.stride1_w, p.stride1_c);
    set_strides(shape(node_.inputs[1]), p.stride2_h, p.stride2_w, p.stride2_c);
    p.input1_offset = -in(0).zero_point;
    p.input2_offset = -in(1).zero_point;
    p.output_offset = out().zero_point;
    p.multiplier = factor.multiplier;
    p.shift = factor.shift;
    p.act_min = -128;
    p.act_max = 127;
    return call;
  }

  KernelCall operator()(const Concat& op) const {
    ConcatCall call;
    const auto [outer, whole] = blocks(shape(node_.outputs[0]), op.axis);
    std::int32_t start = 0;
    for (const int v : node_.inputs) {
      same_quantization(v);
      const std::int32_t inner = blocks(shape(v), op.axis).second;
      call.params.push_back({.outer = outer, .input_inner = inner, .output_inner = whole, .output_start = start});
      start += inner;
    }
    return call;
  }

  KernelCall operator()(const Split& op) const {
    SplitCall call;
    const auto [outer, whole] = blocks(shape(node_.inputs[0]), op.axis);
    std::int32_t start = 0;
    for (const int v : node_.outputs) {
      const std::int32_t inner = blocks(shape(v), op.axis).second;
      call.params.push_back({.outer = outer, .input_inner = whole, .output_inner = inner, .input_start = start});
      start += inner;
    }
    return call;
  }

  KernelCall operator()(const MaxPool2d& op) const { return pool<MaxPoolCall>(op); }
  KernelCall operator()(const AvgPool2d& op) const { return pool<AveragePoolCall>(op); }

  KernelCall operator()(const AdaptiveAvgPool2d& op) const {
    const Extents i(shape(node_.inputs[0])), o(shape(node_.outputs[0]));
    if (op.global()) {
      const FixedPointFactor factor = quantize_multiplier(rescale_factor(in(0).scale, out().scale));
      MeanCall call{};
      call.params = {.in_h = i.h,
                     .in_w = i.w,
                     .channels = i.c,
                     .input_zero_point = in(0).zero_point,
                     .output_zero_point = out().zero_point,
                     .multiplier = factor.multiplier,
                     .shift = factor.shift};
      return call;
    }
    same_quantization(node_.inputs[0]);
    AdaptiveAveragePoolCall call{};
    call.params = {.in_h = i.h, .in_w = i.w, .channels = i.c, .out_h = o.h, .out_w = o.w};
    return call;
  }

  KernelCall operator()(const Upsample& op) const {
    const Extents i(shape(node_.inputs[0]));
    UpsampleCall call{};
    same_quantization(node_.inputs[0]);
    call.params = {.in_h = i.h, .in_w = i.w, .channels = i.c, .scale_h = op.scale.h, .scale_w = op.scale.w};
    return call;
  }

  KernelCall operator()(const Pad& op) const {
    const Extents i(shape(node_.inputs[0]));
    same_quantization(node_.inputs[0]);
    PadCall call{};
    call.params = {.in_h = i.h,
                   .in_w = i.w,
                   .channels = i.c,
                   .pad_top = op.padding.top,
                   .pad_bottom = op.padding.bottom,
                   .pad_left = op.padding.left,
                   .pad_right = op.padding.right,
                   .value = in(0).zero_point};
    return call;
  }

  KernelCall operator()(const Flatten&) const { return NoCall{}; }
  KernelCall operator()(const TakeRows&) const { return NoCall{}; }
  KernelCall operator()(const JoinRows&) const { return NoCall{}; }

  KernelCall operator()(const Softmax&) const {
    const Extents i(shape(node_.inputs[0]));
    if (!(out() == Quantization{1.0f / 256, -128})) wrong("a softmax's output must have scale 1/256 and zero point -128");
    const SoftmaxFactors f = softmax_factors(in(0).scale);
    SoftmaxCall call{};
    call.params = {.outer = i.h * i.w,
                   .depth = i.c,
                   .input_multiplier = f.input_multiplier,
                   .input_left_shift = f.input_left_shift,
                   .diff_min = f.diff_min};
    return call;
  }

  KernelCall operator()(const BatchNorm&) const { wrong("batch norm must be folded first; lower the graph"); }
  KernelCall operator()(const Dropout&) const { wrong("dropout must be removed first; lower the graph"); }

 private:
  [[noreturn]] void wrong(std::string_view what) const { fail("int8", "{}: {}", node_.name, what); }

  void check(int v) const {
    const TensorType& type = graph_.type(v);
    if (type.element != ElementType::int8 || !type.quantization)
      fail("int8", "{}: {} is {} without a quantisation; expected int8", node_.name, graph_.value_name(v), to_string(type.element));
    check_quantization(node_.name.c_str(), type.quantization->scale, type.quantization->zero_point);
  }
  const Shape& shape(int v) const { return graph_.shape(v); }
  std::int32_t elements(int v) const { return static_cast<std::int32_t>(shape(v).elements()); }
  const Quantization& in(std::size_t k) const { return *graph_.type(node_.inputs[k]).quantization; }
  const Quantization& out() const { return *graph_.type(node_.outputs[0]).quantization; }
  void same_quantization(int v) const {
    if (!(*graph_.type(v).quantization == out())) wrong("inputs and output must have one scale and zero point");
  }

  ActivationRange limits(Function f) const {
    if (f == Function::none) return activation_range(-kInfinity, kInfinity, out().scale, out().zero_point);
    if (f == Function::relu) return activation_range(0, kInfinity, out().scale, out().zero_point);
    if (f == Function::relu6) return activation_range(0, 6, out().scale, out().zero_point);
    wrong(fmt::format("{} cannot be fused", to_string(f)));
  }

  template <class Params>
  void fill_ends(Params& p, Function activation) const {
    p.input_offset = -in(0).zero_point;
    p.output_offset = out().zero_point;
    p.act_min = limits(activation).min;
    p.act_max = limits(activation).max;
  }

  template <class Params>
  void fill_window(Params& p, const Conv2d& op, const Extents& i, const Extents& o) const {
    p.in_h = i.h;
    p.in_w = i.w;
    p.in_c = i.c;
    p.out_h = o.h;
    p.out_w = o.w;
    p.out_c = o.c;
    p.kernel_h = op.kernel.h;
    p.kernel_w = op.kernel.w;
    p.stride_h = op.stride.h;
    p.stride_w = op.stride.w;
    p.dilation_h = op.dilation.h;
    p.dilation_w = op.dilation.w;
    p.pad_top = op.padding.top;
    p.pad_left = op.padding.left;
    fill_ends(p, op.activation);
  }

  template <class Call, class PoolOp>
  KernelCall pool(const PoolOp& op) const {
    const Extents i(shape(node_.inputs[0])), o(shape(node_.outputs[0]));
    same_quantization(node_.inputs[0]);
    Call call{};
    call.params = {.in_h = i.h,
                   .in_w = i.w,
                   .channels = i.c,
                   .out_h = o.h,
                   .out_w = o.w,
                   .kernel_h = op.kernel.h,
                   .kernel_w = op.kernel.w,
                   .stride_h = op.stride.h,
                   .stride_w = op.stride.w,
                   .pad_top = op.padding.top,
                   .pad_left = op.padding.left,
                   .act_min = -128,
                   .act_max = 127};
    return call;
  }

  static KernelCall table(const Table& values) {  // `count` is set by kernel_call
    TableCall call{};
    call.table = values;
    return call;
  }

  // Along an axis, a tensor in memory is `first` blocks of `second` bytes.
  std::pair<std::int32_t, std::int32_t> blocks(const Shape& s, std::int32_t axis) const {
    const Extents e(s);
    if (axis == 0) return {e.h * e.w, e.c};
    if (axis == s.rank() - 1) return {e.h, e.w * e.c};  // width
    return {1, e.h * e.w * e.c};
  }

  static void set_strides(const Shape& s, std::int32_t& h, std::int32_t& w, std::int32_t& c) {
    const Extents e(s);
    h = e.h == 1 ? 0 : e.w * e.c;
    w = e.w == 1 ? 0 : e.c;
    c = e.c == 1 ? 0 : 1;
  }

  // One multiplier and shift an output channel, or one for all when the weight has one scale and is linear's.
  Requantization requantization(const Shape& expected, std::int32_t outputs) const {
    const Array& weight = find(model_.weights, node_.name + ".weight");
    const Array& bias = find(model_.weights, node_.name + ".bias");
    if (weight.element() != ElementType::int8 || !(weight.shape() == expected))
      wrong(fmt::format("the weight is {} {}, expected int8 {}", to_string(weight.element()), to_string(weight.shape()), to_string(expected)));
    if (bias.element() != ElementType::int32 || bias.elements() != outputs)
      wrong(fmt::format("the bias is {} {}, expected int32 {}", to_string(bias.element()), to_string(bias.shape()), outputs));
    const bool linear = std::holds_alternative<Linear>(node_.op);
    const std::size_t scales = weight.scales.size();
    if (scales != 1 && scales != static_cast<std::size_t>(outputs))
      wrong(fmt::format("the weight has {} scales, expected 1 or {}", scales, outputs));
    Requantization r;
    const std::size_t count = linear && scales == 1 ? 1 : static_cast<std::size_t>(outputs);
    for (std::size_t o = 0; o < count; ++o) {
      const float scale = weight.scales[scales == 1 ? 0 : o];
      const double factor = linear && scales == 1 ? linear_factor(in(0).scale, scale, out().scale)
                                                  : conv2d_factor(in(0).scale, scale, out().scale);
      const FixedPointFactor f = quantize_multiplier(factor);
      r.multiplier.push_back(f.multiplier);
      r.shift.push_back(static_cast<std::int8_t>(f.shift));
    }
    return r;
  }

  const Model& model_;
  const Graph& graph_;
  const Node& node_;
};

template <class Call>
void bind_weights(Call& call, const Model& model, const Node& node) {
  call.params.weights = find(model.weights, node.name + ".weight").values<std::int8_t>().data();
  call.params.bias = find(model.weights, node.name + ".bias").values<std::int32_t>().data();
  call.params.multiplier = call.requantization.multiplier.data();
  call.params.shift = call.requantization.shift.data();
}

}  // namespace

KernelCall kernel_call(const Model& model, const Node& node) {
  KernelCall call = std::visit(Builder(model, node), node.op);
  if (auto* table = std::get_if<TableCall>(&call))
    table->params.count = static_cast<std::int32_t>(model.graph.shape(node.outputs[0]).elements());
  return call;
}

KernelCalls::KernelCalls(const Model& model) {
  calls_.reserve(model.graph.nodes().size());
  for (const Node& node : model.graph.nodes()) {
    calls_.push_back(kernel_call(model, node));
    std::visit(
        [&](auto& call) {
          if constexpr (requires { call.requantization; }) bind_weights(call, model, node);
          else if constexpr (requires { call.table; }) call.params.table = call.table.data();
        },
        calls_.back());
  }
}

}  // namespace micromind
