#include "micromind/train/parameter_groups.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"

namespace micromind {

std::vector<int> layers_behind(const Graph& graph) {
  const std::vector<Node>& nodes = graph.nodes();
  std::vector<int> behind(nodes.size(), 0);
  for (std::size_t n = nodes.size(); n-- > 0;) {  // nodes are in an order in which they can run
    const bool layer = std::holds_alternative<Conv2d>(nodes[n].op) || std::holds_alternative<Linear>(nodes[n].op);
    for (const int value : nodes[n].inputs) {
      const int producer = graph.values()[static_cast<std::size_t>(value)].producer;
      if (producer < 0) continue;
      int& before = behind[static_cast<std::size_t>(producer)];
      before = std::max(before, behind[n] + (layer ? 1 : 0));
    }
  }
  return behind;
}

std::vector<Optimizer::Parameter> optimizer_parameters(const GraphModule& module, const TrainSection& train) {
  if (!(train.layer_decay > 0 && train.layer_decay <= 1))
    fail("recipe", "train.layer_decay = {}: expected a number above 0, at most 1", train.layer_decay);
  const std::vector<int> behind = layers_behind(module.graph());
  std::map<std::string, int> nodes;
  for (const NamedParameter& p : parameters(module.graph())) nodes[p.name] = p.node;
  std::vector<Optimizer::Parameter> list;
  for (const auto& [name, value] : module.trainable()) {
    const auto node = nodes.find(name);  // a parameter that is no node's trains at the full rate
    const int layers = node == nodes.end() ? 0 : behind[static_cast<std::size_t>(node->second)];
    list.push_back({name, value, std::pow(train.layer_decay, layers), train.decay_norm_and_bias || value.dim() > 1});
  }
  if (list.empty()) fail_with_hint("train", "freeze less", "train.freeze leaves nothing of the network '{}' to train", module.graph().name);
  return list;
}

}  // namespace micromind
