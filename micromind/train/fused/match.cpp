#include "micromind/train/fused/match.h"

#include <ATen/ops/empty.h>

#include "micromind/train/fused/depthwise.h"
#include "micromind/train/fused/inverted_residual.h"
#include "micromind/train/fused/norm_act.h"
#include "micromind/train/fused/pointwise.h"
#include "micromind/train/fused/pool.h"
#include "micromind/train/fused/squeeze_excite.h"
#include "micromind/train/fused/winograd.h"

namespace micromind::fused {
namespace {

class Finder {
 public:
  Finder(const Graph& graph, std::span<const char> needed, std::span<const int> readers, std::span<const char> frozen, bool training, bool whole,
         bool norms)
      : graph_(graph), needed_(needed), readers_(readers), frozen_(frozen), training_(training), whole_(whole), norms_(norms), next_(graph.values().size()) {
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
    if (op<BatchNorm>(n)) return norms_ ? norm_act(n) : Match{};
    if (const Conv2d* conv = op<Conv2d>(n)) {
      const Shape& in = graph_.shape(graph_.nodes()[n].inputs[0]);
      if (depthwise_applies(*conv, in.channels())) return {Kind::depthwise, {n}};
      if (Match m = inverted_residual(n); m.kind != Kind::none) return m;
      // A plain matrix product takes over where a pixel is all there is.
      if (pointwise_applies(*conv)) return {Kind::pointwise, {n}};
      if (winograd_applies(*conv, in.channels())) return {Kind::winograd, {n}};
    }
    const Shape& in = graph_.shape(graph_.nodes()[n].inputs[0]);
    if (const AdaptiveAvgPool2d* mean = op<AdaptiveAvgPool2d>(n)) {
      const Match m = squeeze(n);
      return m.kind == Kind::none && mean_pool_applies(*mean, in[1], in[2]) ? Match{Kind::pool, {n}} : m;
    }
    if (const MaxPool2d* max = op<MaxPool2d>(n); max && max_pool_applies(*max, in[1], in[2])) return {Kind::pool, {n}};
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

  bool is_pointwise(std::size_t n, bool with_bias) const { return op<Conv2d>(n) && pointwise_applies(*op<Conv2d>(n)) && (with_bias || !op<Conv2d>(n)->bias); }

  // A batch norm that may share an operator with others: fused at all, and not still while they train.
  bool trains_as_usual(std::size_t n) const { return op<BatchNorm>(n) && norms_ && !(training_ && frozen_[n]); }

  Match inverted_residual(std::size_t n) const {
    if (!is_pointwise(n, false)) return {};
    Match m{Kind::inverted_residual, {n}};
    const auto take = [&](std::size_t next) {
      m.nodes.push_back(next);
      return only_reader(next);
    };
    std::size_t next = only_reader(n);
    if (next == kNone || !trains_as_usual(next)) return {};
    const Match norm = norm_act(next);
    m.nodes.insert(m.nodes.end(), norm.nodes.begin(), norm.nodes.end());
    const Shape& wide = graph_.shape(output(n));
    const Conv2d* const conv = op<Conv2d>(m.nodes.back());
    if (!conv || conv->bias || !inverted_residual_fits(wide.channels(), wide.elements() / wide.channels())) return {};
    next = only_reader(m.nodes.back());
    if (next == kNone || !trains_as_usual(next)) return {};
    next = take(next);
    if (next != kNone && op<Activation>(next)) next = take(next);
    if (next == kNone) {  // squeeze-and-excite reads its input twice
      const auto value = static_cast<std::size_t>(output(m.nodes.back()));
      if (!whole_ || readers_[value] != 2 || next_[value].size() != 2 || !op<AdaptiveAvgPool2d>(next_[value][0])) return {};
      const Match gate = squeeze(next_[value][0]);
      if (gate.kind == Kind::none || gate.nodes.back() != next_[value][1]) return {};
      m.nodes.insert(m.nodes.end(), gate.nodes.begin(), gate.nodes.end());
      next = only_reader(m.nodes.back());
    }
    if (next == kNone || !is_pointwise(next, false)) return {};
    m.nodes.push_back(next);
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
    const auto is_layer = [&](std::size_t i) { return is_pointwise(i, true); };
    const auto is_activation = [&](std::size_t i) { return op<Activation>(i) != nullptr; };
    const auto is_sigmoid = [&](std::size_t i) { return is_activation(i) && op<Activation>(i)->function == Function::sigmoid; };
    const auto is_scale = [&](std::size_t i) { return op<Multiply>(i) && graph_.nodes()[i].inputs[0] == x && graph_.shape(output(i)) == graph_.shape(x); };
    return follow(is_layer) && follow(is_activation) && follow(is_layer) && follow(is_sigmoid) && follow(is_scale) ? m : Match{};
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
  std::span<const char> frozen_;
  bool training_, whole_, norms_;
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

SqueezeWeights squeeze_weights(const TensorList& reduce, const TensorList& expand) {
  return {reduce[0], at_or_none(reduce, 1), expand[0], at_or_none(expand, 1)};
}

at::Tensor run_inverted_residual(const Graph& graph, const Match& match, const at::Tensor& x, const std::vector<TensorList>& parameters,
                                 OpContext context) {
  InvertedResidual b;
  bool second = false;
  std::vector<std::size_t> layers;  // of squeeze-and-excite
  const auto norm_of = [&](std::size_t n, NormInputs& inputs, NormActOptions& options) {
    const TensorList& p = parameters[n];
    inputs = {{}, p[0], p[1], p[2], p[3], {}};
    options = {std::get<BatchNorm>(graph.nodes()[n].op), Function::none, context.training};
    const Shape& shape = graph.shape(graph.nodes()[n].inputs[0]);
    if (context.training && x.size(0) * shape.elements() == shape.channels())
      micromind::apply(graph.nodes()[n].op, {at::empty({1, shape.channels(), 1, 1}, at::kFloat)}, p, context);  // its error
  };
  for (const std::size_t n : match.nodes) {
    const Op& op = graph.nodes()[n].op;
    const TensorList& p = parameters[n];
    if (std::holds_alternative<BatchNorm>(op)) {
      norm_of(n, second ? b.second : b.first, second ? b.second_options : b.options);
    } else if (const auto* act = std::get_if<Activation>(&op)) {
      if (layers.empty()) (second ? b.second_options : b.options).function = act->function;
      else if (layers.size() == 1) b.excite_function = act->function;
    } else if (const auto* drop = std::get_if<Dropout>(&op)) {
      context.node = n;
      b.first.mask = dropout_mask({x.size(0), graph.shape(graph.nodes()[n].inputs[0]).channels(), 1, 1}, drop->p, context);
    } else if (const auto* conv = std::get_if<Conv2d>(&op)) {
      if (n == match.nodes.front()) b.expand = p[0];
      else if (n == match.nodes.back()) b.project = p[0];
      else if (second) layers.push_back(n);
      else b.depthwise = p[0], b.conv = *conv, second = true;
    }
  }
  if (layers.size() == 2) b.excite = squeeze_weights(parameters[layers[0]], parameters[layers[1]]);
  return inverted_residual(x, b);
}

}  // namespace

std::vector<Match> find_matches(const Graph& graph, std::span<const char> needed, std::span<const int> readers, std::span<const char> frozen,
                                bool training, bool whole, bool norms) {
  return Finder(graph, needed, readers, frozen, training, whole, norms).find();
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
    case Kind::winograd: return winograd(x, p[0], at_or_none(p, 1));
    case Kind::inverted_residual: return run_inverted_residual(graph, match, x, parameters, context);
    case Kind::squeeze_excite: {
      const TensorList &reduce = parameters[match.nodes[1]], &expand = parameters[match.nodes[3]];
      return squeeze_excite(x, squeeze_weights(reduce, expand), std::get<Activation>(graph.nodes()[match.nodes[2]].op).function);
    }
    case Kind::sigmoid_gate: return sigmoid_gate(x, inputs[1]);
    case Kind::pool:
      if (const auto* max = std::get_if<MaxPool2d>(&graph.nodes()[first].op)) return max_pool(x, max->kernel.h);
      return mean_pool(x, std::get<AdaptiveAvgPool2d>(graph.nodes()[first].op).output.h, std::get<AdaptiveAvgPool2d>(graph.nodes()[first].op).output.w);
    case Kind::none: break;
  }
  return {};
}

}  // namespace micromind::fused
