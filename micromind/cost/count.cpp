#include "micromind/cost/count.h"

namespace micromind {

Count& Count::operator+=(const Count& other) {
  parameters += other.parameters;
  macs += other.macs;
  torchinfo_mult_adds += other.torchinfo_mult_adds;
  return *this;
}

Count count(const Graph& graph, const Node& node) {
  const auto in = [&]() -> const Shape& { return graph.shape(node.inputs[0]); };
  const auto out = [&]() -> const Shape& { return graph.shape(node.outputs[0]); };
  return std::visit(Overloaded{
                        [&](const Conv2d& op) -> Count {
                          const std::int64_t weights = op.weights(in());
                          const std::int64_t bias = op.bias ? op.out_channels : 0;
                          const std::int64_t area = std::int64_t{out().height()} * out().width();
                          return {weights + bias, weights * area, (weights + bias) * area};
                        },
                        [&](const Linear& op) -> Count {
                          const std::int64_t weights = op.weights(in());
                          const std::int64_t bias = op.bias ? op.out_features : 0;
                          return {weights + bias, weights, weights + bias};
                        },
                        [&](const BatchNorm&) -> Count {
                          const std::int64_t n = 2 * std::int64_t{in().channels()};
                          return {n, 0, n};
                        },
                        []<class T>(const T&) -> Count {
                          static_assert(!requires(const T& op, ShapeSpan in) { op.parameters(in); }, "an operator with parameters is counted above");
                          return {};
                        },
                    },
                    node.op);
}

Count count(const Graph& graph) {
  Count total;
  for (const Node& node : graph.nodes()) total += count(graph, node);
  return total;
}

std::int64_t count_parameters(const Graph& graph) { return count(graph).parameters; }
std::int64_t count_macs(const Graph& graph) { return count(graph).macs; }
std::int64_t torchinfo_mult_adds(const Graph& graph) { return count(graph).torchinfo_mult_adds; }

}  // namespace micromind
