#include "micromind/quantize/executor.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/quantize/calls.h"

namespace micromind {

struct Int8Executor::State {
  explicit State(const Model& m) : model(m), calls(m), plan(plan_memory(m.graph)), arena(static_cast<std::size_t>(plan.arena_bytes)) {}

  std::span<std::int8_t> bytes(int value) {
    const Placement& p = plan.placements[static_cast<std::size_t>(value)];
    return {arena.data() + p.offset, static_cast<std::size_t>(p.bytes)};
  }
  const std::int8_t* in(const Node& node, std::size_t k = 0) { return bytes(node.inputs[k]).data(); }
  std::int8_t* out(const Node& node, std::size_t k = 0) { return bytes(node.outputs[k]).data(); }

  void execute(const Node& node, const KernelCall& call) {
    std::visit(
        Overloaded{
            [&](const ConvCall& c) { mm_conv2d_s8(&c.params, in(node), out(node)); },
            [&](const DepthwiseCall& c) { mm_depthwise_conv2d_s8(&c.params, in(node), out(node)); },
            [&](const LinearCall& c) { mm_linear_s8(&c.params, in(node), out(node)); },
            [&](const AddCall& c) { mm_add_s8(&c.params, in(node, 0), in(node, 1), out(node)); },
            [&](const MulCall& c) { mm_mul_s8(&c.params, in(node, 0), in(node, 1), out(node)); },
            [&](const TableCall& c) { mm_table_s8(&c.params, in(node), out(node)); },
            [&](const ConcatCall& c) {
              for (std::size_t k = 0; k < c.params.size(); ++k) mm_concat_s8(&c.params[k], in(node, k), out(node));
            },
            [&](const SplitCall& c) {
              for (std::size_t k = 0; k < c.params.size(); ++k) mm_split_s8(&c.params[k], in(node), out(node, k));
            },
            [&](const MaxPoolCall& c) { mm_max_pool2d_s8(&c.params, in(node), out(node)); },
            [&](const AveragePoolCall& c) { mm_average_pool2d_s8(&c.params, in(node), out(node)); },
            [&](const AdaptiveAveragePoolCall& c) { mm_adaptive_average_pool2d_s8(&c.params, in(node), out(node)); },
            [&](const MeanCall& c) { mm_mean_s8(&c.params, in(node), out(node)); },
            [&](const UpsampleCall& c) { mm_upsample_nearest2d_s8(&c.params, in(node), out(node)); },
            [&](const PadCall& c) { mm_pad_s8(&c.params, in(node), out(node)); },
            [&](const SoftmaxCall& c) { mm_softmax_s8(&c.params, in(node), out(node)); },
            [](const NoCall&) {},
        },
        call);
  }

  const Model& model;
  KernelCalls calls;
  MemoryPlan plan;
  std::vector<std::int8_t> arena;
};

Int8Executor::Int8Executor(const Model& model) {
  if (!is_quantized(model)) fail_with_hint("int8", "quantise it first", "{} is a float network", model.graph.name);
  state_ = std::make_unique<State>(model);
}
Int8Executor::~Int8Executor() = default;
Int8Executor::Int8Executor(Int8Executor&&) noexcept = default;

std::span<std::int8_t> Int8Executor::input(std::size_t index) { return state_->bytes(state_->model.graph.inputs().at(index).value); }

void Int8Executor::run(const Observer& observer) {
  const Graph& graph = state_->model.graph;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    state_->execute(node, state_->calls[i]);
    if (observer)
      for (const int v : node.outputs) observer(v, state_->bytes(v));
  }
}

std::span<const std::int8_t> Int8Executor::output(std::size_t index) const {
  return state_->bytes(state_->model.graph.outputs().at(index).value);
}

const MemoryPlan& Int8Executor::plan() const { return state_->plan; }

void Int8Executor::set_input(std::size_t index, std::span<const float> chw) {
  const std::vector<std::int8_t> bytes = quantize_image(chw, state_->model.graph.type(state_->model.graph.inputs().at(index).value));
  std::copy(bytes.begin(), bytes.end(), input(index).begin());
}

std::vector<float> Int8Executor::output_as_float(std::size_t index) const {
  return dequantize_image(output(index), state_->model.graph.type(state_->model.graph.outputs().at(index).value));
}

std::int8_t quantize_value(float real, const Quantization& q) {
  const double steps = std::round(static_cast<double>(real) / q.scale) + q.zero_point;
  return static_cast<std::int8_t>(std::clamp(steps, -128.0, 127.0));
}

namespace {

// Calls visit(index in (C, H, W) order, index in (H, W, C) order).
template <class Visit>
void for_each_element(const Shape& s, Visit&& visit) {
  const auto channels = static_cast<std::size_t>(s.channels());
  const auto area = static_cast<std::size_t>(s.height()) * static_cast<std::size_t>(s.width());
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t p = 0; p < area; ++p) visit(c * area + p, p * channels + c);
}

void check_size(std::size_t found, const TensorType& type) {
  if (!type.quantization) fail("int8", "a tensor without a quantisation");
  if (found != static_cast<std::size_t>(type.shape.elements()))
    fail("int8", "expected {} numbers for {}, found {}", type.shape.elements(), to_string(type.shape), found);
}

}  // namespace

std::vector<std::int8_t> quantize_image(std::span<const float> chw, const TensorType& type) {
  check_size(chw.size(), type);
  std::vector<std::int8_t> hwc(chw.size());
  for_each_element(type.shape, [&](std::size_t from, std::size_t to) { hwc[to] = quantize_value(chw[from], *type.quantization); });
  return hwc;
}

std::vector<float> dequantize_image(std::span<const std::int8_t> hwc, const TensorType& type) {
  check_size(hwc.size(), type);
  std::vector<float> chw(hwc.size());
  for_each_element(type.shape, [&](std::size_t to, std::size_t from) {
    chw[to] = static_cast<float>(hwc[from] - type.quantization->zero_point) * type.quantization->scale;
  });
  return chw;
}

}  // namespace micromind
