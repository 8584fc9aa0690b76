#include "micromind/reference/reference.h"

#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/reference/ops.h"

namespace micromind {
namespace {

const Array& checked_parameter(const Graph& graph, const Weights& weights, const Node& node, const ParameterSpec& spec) {
  const Array& array = find(weights, fmt::format("{}.{}", node.name, spec.suffix));
  if (!(array.shape() == spec.shape))
    fail("reference", "{}.{} of {}: expected {}, found {}", node.name, spec.suffix, graph.name, to_string(spec.shape), to_string(array.shape()));
  return array;
}

// For every node, the values whose last reader it is (or which nobody reads); outputs are kept.
std::vector<std::vector<int>> last_uses(const Graph& graph) {
  std::vector<std::vector<int>> release(graph.nodes().size());
  std::vector<int> last(graph.values().size(), -1);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    for (const int v : graph.nodes()[n].inputs) last[static_cast<std::size_t>(v)] = static_cast<int>(n);
    for (const int v : graph.nodes()[n].outputs) last[static_cast<std::size_t>(v)] = static_cast<int>(n);
  }
  for (const Port& o : graph.outputs()) last[static_cast<std::size_t>(o.value)] = -1;
  for (std::size_t v = 0; v < last.size(); ++v)
    if (last[v] >= 0) release[static_cast<std::size_t>(last[v])].push_back(static_cast<int>(v));
  return release;
}

void check_inputs(const Graph& graph, const Arrays& inputs) {
  std::vector<std::string> names;
  for (const Port& port : graph.inputs()) names.push_back(port.name);
  for (const auto& [name, array] : inputs)
    if (std::find(names.begin(), names.end(), name) == names.end())
      fail_with_hint("reference", name_hint(name, names), "the network {} has no input '{}'", graph.name, name);
  for (const Port& port : graph.inputs()) {
    const auto it = inputs.find(port.name);
    if (it == inputs.end()) fail("reference", "the input '{}' of {} is missing", port.name, graph.name);
    if (!(it->second.shape() == graph.shape(port.value)))
      fail("reference", "input '{}': expected {}, found {}", port.name, to_string(graph.shape(port.value)), to_string(it->second.shape()));
  }
}

}  // namespace

ReferenceExecutor::ReferenceExecutor(const Graph& graph, const Weights& weights) : graph_(&graph), steps_(graph.nodes().size()) {
  const std::vector<std::vector<int>> release = last_uses(graph);
  for (std::size_t n = 0; n < steps_.size(); ++n) {
    const Node& node = graph.nodes()[n];
    for (const ParameterSpec& spec : parameters(node.op, graph.input_shapes(node)))
      steps_[n].parameters.push_back(checked_parameter(graph, weights, node, spec).values<float>());
    steps_[n].release = release[n];
  }
}

Arrays ReferenceExecutor::run(const Arrays& inputs, const ReferenceObserver& observer) const {
  check_inputs(*graph_, inputs);
  std::vector<std::vector<float>> owned(graph_->values().size());
  std::vector<std::span<const float>> values(owned.size());
  for (const Port& port : graph_->inputs()) {
    const auto index = static_cast<std::size_t>(port.value);
    values[index] = inputs.at(port.name).values<float>();
    if (observer) observer(port.value, values[index]);
  }
  for (std::size_t n = 0; n < steps_.size(); ++n) {
    const Node& node = graph_->nodes()[n];
    const Shapes in_shapes = graph_->input_shapes(node), out_shapes = graph_->output_shapes(node);
    std::vector<std::span<const float>> in;
    std::vector<std::span<float>> out;
    for (const int v : node.inputs) in.push_back(values[static_cast<std::size_t>(v)]);
    for (const int v : node.outputs) {
      auto& storage = owned[static_cast<std::size_t>(v)];
      storage.assign(static_cast<std::size_t>(graph_->shape(v).elements()), 0.0f);
      values[static_cast<std::size_t>(v)] = storage;
      out.emplace_back(storage);
    }
    const reference::Call call{in_shapes, out_shapes, in, out, steps_[n].parameters};
    std::visit([&](const auto& op) { reference::run(op, call); }, node.op);
    if (observer)
      for (const int v : node.outputs) observer(v, values[static_cast<std::size_t>(v)]);
    for (const int v : steps_[n].release) std::vector<float>().swap(owned[static_cast<std::size_t>(v)]);
  }
  Arrays outputs;
  for (const Port& port : graph_->outputs()) {
    Array array(ElementType::float32, graph_->shape(port.value));
    const std::span<const float> numbers = values[static_cast<std::size_t>(port.value)];
    std::copy(numbers.begin(), numbers.end(), array.values<float>().begin());
    outputs.emplace(port.name, std::move(array));
  }
  return outputs;
}

Arrays run_reference(const Graph& graph, const Weights& weights, const Arrays& inputs, const ReferenceObserver& observer) {
  return ReferenceExecutor(graph, weights).run(inputs, observer);
}

}  // namespace micromind
