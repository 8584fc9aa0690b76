#include "micromind/train/fused/match.h"

#include "micromind/train/fused/depthwise.h"
#include "micromind/train/fused/norm_act.h"
#include "micromind/train/fused/pointwise.h"
#include "micromind/train/fused/squeeze_excite.h"

namespace micromind::fused {
namespace {

class Finder {
 public:
  Finder(const Graph& graph, std::span<const char> needed, std::span<const int> readers, bool training, bool whole)
      : graph_(graph), needed_(needed), readers_(readers), training_(training), whole_(whole), next_(graph.values().size()) {
    for (std::size_t n = 0; n < needed.size(); ++n)
      if (needed[n])
        for (const int v : graph.nodes()[n].inputs) next_[static_cast<std::size_t>(v)].push_back(n);
  }

  std::vector<Match> find() {
    std::vector<Match> matches(needed_.size());
    std::vector<char> taken(needed_.size(), 0);
    for (std::size_t n = 0; n < needed_.size(); ++n) {
      if (!needed_[n] || taken[n] || graph_.shape(output(n)).rank() != 3) continue;
      matches[n] = match(n);
      for (const std::size_t m : matches[n].nodes) taken[m] = 1;
    }
    return matches;
  }

 private:
  int output(std::size_t node) const { return graph_.nodes()[node].outputs[0]; }

  template <class T>
  const T* op(std::size_t node) const {
    return std::get_if<T>(&graph_.nodes()[node].op);
  }

  // The node that alone reads what `node` makes, or −1.
  std::size_t only_reader(std::size_t node) const {
    const auto value = static_cast<std::size_t>(output(node));
    return whole_ && readers_[value] == 1 && next_[value].size() == 1 ? next_[value][0] : kNone;
  }

  Match match(std::size_t n) const {
    if (op<BatchNorm>(n)) return norm_act(n);
    if (const Conv2d* conv = op<Conv2d>(n)) {
      const Shape& in = graph_.shape(graph_.nodes()[n].inputs[0]);
      if (depthwise_applies(*conv, in.channels())) return {Kind::depthwise, {n}};
      // A plain matrix product takes over where a pixel is all there is.
      if (pointwise_applies(*conv)) return {Kind::pointwise, {n}};
    }
    if (op<AdaptiveAvgPool2d>(n)) return squeeze(n);
    if (const Activation* act = op<Activation>(n); act && act->function == Function::sigmoid) return gate(n);
    return {};
  }

  Match norm_act(std::size_t n) const {
    Match m{Kind::norm_act, {n}};
    std::size_t next = only_reader(n);
    if (next != kNone && op<Activation>(next)) {
      m.nodes.push_back(next);
      next = only_reader(next);
    }
    if (next != kNone && training_)
      if (const Dropout* drop = op<Dropout>(next); drop && drop->channels && drop->p > 0) {
        m.nodes.push_back(next);
        next = only_reader(next);
      }
    if (next != kNone && op<Conv2d>(next) && depthwise_applies(*op<Conv2d>(next), graph_.shape(output(n)).channels())) m.nodes.push_back(next);
    return m;
  }

  Match squeeze(std::size_t n) const {
    const int x = graph_.nodes()[n].inputs[0];
    if (op<AdaptiveAvgPool2d>(n)->output != Size(1)) return {};
    Match m{Kind::squeeze_excite, {n}};
    const auto follow = [&](auto accepts) {
      const std::size_t next = only_reader(m.nodes.back());
      if (next == kNone || !accepts(next)) return false;
      m.nodes.push_back(next);
      return true;
    };
    const auto is_pointwise = [&](std::size_t i) { return op<Conv2d>(i) && pointwise_applies(*op<Conv2d>(i)); };
    const auto is_activation = [&](std::size_t i) { return op<Activation>(i) != nullptr; };
    const auto is_sigmoid = [&](std::size_t i) { return is_activation(i) && op<Activation>(i)->function == Function::sigmoid; };
    const auto is_scale = [&](std::size_t i) { return op<Multiply>(i) && graph_.nodes()[i].inputs[0] == x && graph_.shape(output(i)) == graph_.shape(x); };
    return follow(is_pointwise) && follow(is_activation) && follow(is_pointwise) && follow(is_sigmoid) && follow(is_scale) ? m : Match{};
  }

  Match gate(std::size_t n) const {
    const std::size_t next = only_reader(n);
    if (next == kNone || !op<Multiply>(next)) return {};
    const auto& inputs = graph_.nodes()[next].inputs;
    if (inputs[1] != output(n) || inputs[0] == output(n) || !(graph_.shape(inputs[0]) == graph_.shape(inputs[1]))) return {};
    const int producer = graph_.values()[static_cast<std::size_t>(inputs[0])].producer;
    return producer < static_cast<int>(n) ? Match{Kind::sigmoid_gate, {n, next}} : Match{};  // x is there when n runs
  }

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  const Graph& graph_;
  std::span<const char> needed_;
  std::span<const int> readers_;
  bool training_, whole_;
  std::vector<std::vector<std::size_t>> next_;  // needed nodes that read a value
};

at::Tensor at_or_none(const TensorList& list, std::size_t i) { return i < list.size() ? list[i] : at::Tensor(); }

at::Tensor run_norm_act(const Graph& graph, const Match& match, const at::Tensor& x, const std::vector<TensorList>& parameters,
                        OpContext context) {
  const TensorList& p = parameters[match.nodes[0]];
  NormActOptions options{std::get<BatchNorm>(graph.nodes()[match.nodes[0]].op), Function::none, context.training};
  at::Tensor mask;
  for (const std::size_t n : match.nodes) {
    if (const auto* act = std::get_if<Activation>(&graph.nodes()[n].op)) options.function = act->function;
    if (const auto* drop = std::get_if<Dropout>(&graph.nodes()[n].op)) {
      context.node = n;
      mask = dropout_mask({x.size(0), x.size(1), 1, 1}, drop->p, context);
    }
  }
  if (context.training && x.numel() == x.size(1)) return micromind::apply(graph.nodes()[match.nodes[0]].op, {x}, p, context)[0];  // its error
  const std::size_t last = match.nodes.back();
  if (const auto* conv = std::get_if<Conv2d>(&graph.nodes()[last].op))
    return norm_depthwise({x, p[0], p[1], p[2], p[3], mask}, options, parameters[last][0], at_or_none(parameters[last], 1), *conv);
  return norm_act(x, p[0], p[1], p[2], p[3], mask, options);
}

}  // namespace

std::vector<Match> find_matches(const Graph& graph, std::span<const char> needed, std::span<const int> readers, bool training, bool whole) {
  return Finder(graph, needed, readers, training, whole).find();
}

at::Tensor run(const Graph& graph, const Match& match, const TensorList& inputs, const std::vector<TensorList>& parameters,
               OpContext context) {
  const std::size_t first = match.nodes[0];
  const at::Tensor& x = inputs[0];
  const TensorList& p = parameters[first];
  switch (match.kind) {
    case Kind::norm_act: return run_norm_act(graph, match, x, parameters, context);
    case Kind::depthwise: return depthwise(x, p[0], at_or_none(p, 1), std::get<Conv2d>(graph.nodes()[first].op));
    case Kind::pointwise: return pointwise(x, p[0], at_or_none(p, 1));
    case Kind::squeeze_excite: {
      const TensorList &reduce = parameters[match.nodes[1]], &expand = parameters[match.nodes[3]];
      return squeeze_excite(x, {reduce[0], at_or_none(reduce, 1), expand[0], at_or_none(expand, 1)},
                            std::get<Activation>(graph.nodes()[match.nodes[2]].op).function);
    }
    case Kind::sigmoid_gate: return sigmoid_gate(x, inputs[1]);
    case Kind::none: break;
  }
  return {};
}

}  // namespace micromind::fused
