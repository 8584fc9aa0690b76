#include "micromind/quantize/executor.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/quantize/calls.h"
#include "micromind/quantize/execute.h"

namespace micromind {

struct Int8Executor::State {
  explicit State(const Model& m) : model(m), calls(m), plan(plan_memory(m.graph)), arena(static_cast<std::size_t>(plan.arena_bytes)) {}

  std::span<std::int8_t> bytes(int value) {
    const Placement& p = plan.placements[static_cast<std::size_t>(value)];
    return {arena.data() + p.offset, static_cast<std::size_t>(p.bytes)};
  }

  void run_node(std::size_t i) {
    const Node& node = model.graph.nodes()[i];
    inputs.clear();
    outputs.clear();
    for (const int v : node.inputs) inputs.push_back(bytes(v).data());
    for (const int v : node.outputs) outputs.push_back(bytes(v).data());
    execute(calls[i], inputs, outputs);
  }

  const Model& model;
  KernelCalls calls;
  MemoryPlan plan;
  std::vector<std::int8_t> arena;
  std::vector<const std::int8_t*> inputs;  // of the node that runs
  std::vector<std::int8_t*> outputs;
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
    state_->run_node(i);
    if (observer)
      for (const int v : graph.nodes()[i].outputs) observer(v, state_->bytes(v));
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
