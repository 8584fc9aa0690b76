#include "micromind/quantize/folded_network.h"

#include <algorithm>

#include "micromind/quantize/quantize.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

Array array_of(const std::vector<float>& values, const Shape& shape) {
  Array array(ElementType::float32, shape);
  std::copy(values.begin(), values.end(), array.values<float>().begin());
  return array;
}

class Folding {
 public:
  Folding(const Graph& network, const Weights& weights) : network_(network), weights_(weights), value_(network.values().size(), -1) {
    const Lowered lowered = lower(network);  // decides what folds
    absorbed_.assign(network.nodes().size(), false);
    behind_.assign(network.nodes().size(), -1);
    for (const NodeOrigin& o : lowered.origin)
      if (o.parameters >= 0 && o.batch_norm >= 0) {
        behind_[at(o.parameters)] = o.batch_norm;
        absorbed_[at(o.batch_norm)] = true;
      }
  }

  FoldedNetwork run() && {
    out_.graph.name = network_.name;
    for (const Port& p : network_.inputs()) value_[at(p.value)] = out_.graph.add_input(p.name, network_.type(p.value));
    for (std::size_t i = 0; i < network_.nodes().size(); ++i)
      if (!absorbed_[i]) add(static_cast<int>(i));
    for (const Port& p : network_.outputs()) out_.graph.add_output(p.name, value_[at(p.value)]);
    for (const EntryPoint& e : network_.entry_points()) out_.graph.add_entry_point({e.name, mapped(e.inputs), mapped(e.outputs)});
    for (const State& s : network_.states()) out_.graph.add_state({s.name, value_[at(s.input)], value_[at(s.output)]});
    for (const std::string& p : network_.mutable_parameters()) out_.graph.add_mutable_parameter(p);
    return std::move(out_);
  }

 private:
  std::vector<int> mapped(const std::vector<int>& values) const {
    std::vector<int> list;
    for (const int v : values) list.push_back(value_[at(v)]);
    return list;
  }

  void add(int index) {
    const Node& node = network_.nodes()[at(index)];
    if (std::holds_alternative<Dropout>(node.op)) {
      value_[at(node.outputs[0])] = value_[at(node.inputs[0])];
      return;
    }
    Op op = node.op;
    if (auto* conv = std::get_if<Conv2d>(&op)) conv->bias = true;
    if (auto* linear = std::get_if<Linear>(&op)) linear->bias = true;
    const bool norm = std::holds_alternative<BatchNorm>(op);
    if (norm) {
      const std::int32_t channels = network_.shape(node.inputs[0]).channels();
      op = Conv2d{.out_channels = channels, .groups = channels};
    }
    const int first = out_.graph.add(node.name, op, mapped(node.inputs));
    for (std::size_t k = 0; k < node.outputs.size(); ++k) value_[at(node.outputs[k])] = first + static_cast<int>(k);
    if (!norm && !std::holds_alternative<Conv2d>(op) && !std::holds_alternative<Linear>(op)) return;

    const int batch_norm = norm ? index : behind_[at(index)];
    if (!norm && batch_norm >= 0) value_[at(network_.nodes()[at(batch_norm)].outputs[0])] = first;
    const FoldedNode folded =
        fold_parameters(network_, weights_, {.parameters = norm ? -1 : index, .batch_norm = batch_norm, .flattened = {}});
    const Shapes in = {out_.graph.shape(out_.graph.nodes().back().inputs[0])};
    for (const ParameterSpec& p : parameters(op, in))
      out_.weights[node.name + "." + std::string(p.suffix)] = array_of(p.suffix == "bias" ? folded.bias : folded.weight, p.shape);
  }

  const Graph& network_;
  const Weights& weights_;
  std::vector<int> value_, behind_;
  std::vector<bool> absorbed_;
  FoldedNetwork out_;
};

}  // namespace

FoldedNetwork fold_network(const Graph& network, const Weights& weights) { return Folding(network, weights).run(); }

}  // namespace micromind
