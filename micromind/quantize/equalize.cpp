#include "micromind/quantize/equalize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

constexpr int kSweeps = 20;
constexpr double kSmall = 1e-3;        // factors closer to one end the walk
constexpr double kFarFromCap = 3;      // of relu6: half of it
constexpr double kLargestFactor = 1e4;  // a channel that is nearly dead must not blow up its partner

bool layer(const Op& op) { return std::holds_alternative<Conv2d>(op) || std::holds_alternative<Linear>(op); }

enum class Passage { open, relu6, closed };

// Whether an operator lets a positive factor of a channel through.
Passage passage(const Op& op, const Shape& in) {
  if (const auto* a = std::get_if<Activation>(&op))
    return a->function == Function::relu || a->function == Function::none ? Passage::open
           : a->function == Function::relu6                              ? Passage::relu6
                                                                         : Passage::closed;
  if (std::holds_alternative<Flatten>(op)) return in.height() * in.width() == 1 ? Passage::open : Passage::closed;
  const bool open = std::holds_alternative<MaxPool2d>(op) || std::holds_alternative<AvgPool2d>(op) ||
                    std::holds_alternative<AdaptiveAvgPool2d>(op) || std::holds_alternative<Upsample>(op) || std::holds_alternative<Pad>(op);
  return open ? Passage::open : Passage::closed;
}

struct Pair {
  int first, second;       // nodes
  std::vector<int> capped;  // values behind a relu6 between them
};

Function fused_activation(const Op& op) {
  const auto* conv = std::get_if<Conv2d>(&op);
  return conv != nullptr ? conv->activation : std::get<Linear>(op).activation;
}

// How many read each value; one where others enter or leave the graph counts as read by many.
std::vector<int> use_counts(const Graph& graph) {
  std::vector<int> uses = graph.use_counts();
  for (const EntryPoint& e : graph.entry_points()) {
    for (const int v : e.inputs) uses[at(v)] += 2;
    for (const int v : e.outputs) uses[at(v)] += 2;
  }
  for (const State& s : graph.states()) uses[at(s.input)] += 2, uses[at(s.output)] += 2;
  return uses;
}

std::vector<Pair> find_pairs(const Graph& graph, bool with_relu6) {
  const std::vector<int> uses = use_counts(graph);
  std::vector<int> reader(graph.values().size(), -1);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n)
    for (const int v : graph.nodes()[n].inputs) reader[at(v)] = static_cast<int>(n);
  std::vector<Pair> pairs;
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!layer(node.op) || (fused_activation(node.op) != Function::none && fused_activation(node.op) != Function::relu)) continue;
    Pair pair{static_cast<int>(n), -1, {}};
    for (int v = node.outputs[0]; uses[at(v)] == 1 && reader[at(v)] >= 0;) {
      const Node& next = graph.nodes()[at(reader[at(v)])];
      if (layer(next.op)) {
        pair.second = reader[at(v)];
        break;
      }
      const Passage p = passage(next.op, graph.shape(v));
      if (p == Passage::closed || (p == Passage::relu6 && !with_relu6)) break;
      v = next.outputs[0];
      if (p == Passage::relu6) pair.capped.push_back(v);
    }
    if (pair.second >= 0) pairs.push_back(pair);
  }
  return pairs;
}

// The weights of a layer that belong to a channel: a contiguous run of the first layer's rows, or a stride of the second's
// columns.
class Layer {
 public:
  Layer(const Graph& graph, const Node& node, Weights& weights)
      : weight_(weights.at(node.name + ".weight").values<float>()), bias_(weights.at(node.name + ".bias").values<float>()) {
    const auto* conv = std::get_if<Conv2d>(&node.op);
    in_ = at(graph.shape(node.inputs[0]).channels());
    groups_ = conv != nullptr ? at(conv->groups) : 1;
    kernel_ = conv != nullptr ? at(conv->kernel.h) * at(conv->kernel.w) : 1;
    outputs_ = bias_.size();
  }

  double out_range(std::size_t o) const {
    double most = std::fabs(static_cast<double>(bias_[o]));
    const std::size_t each = weight_.size() / outputs_;
    for (std::size_t i = o * each; i < (o + 1) * each; ++i) most = std::max(most, std::fabs(static_cast<double>(weight_[i])));
    return most;
  }
  void divide_output(std::size_t o, double s) {
    const std::size_t each = weight_.size() / outputs_;
    for (std::size_t i = o * each; i < (o + 1) * each; ++i) weight_[i] = static_cast<float>(weight_[i] / s);
    bias_[o] = static_cast<float>(bias_[o] / s);
  }
  double in_range(std::size_t channel) const {
    double most = 0;
    each_input(channel, [&](const float& w) { most = std::max(most, std::fabs(static_cast<double>(w))); });
    return most;
  }
  void multiply_input(std::size_t channel, double s) {
    each_input(channel, [&](float& w) { w = static_cast<float>(w * s); });
  }

 private:
  // Weight (O, I/groups, K): input channel i is column i % (I/groups) of the outputs of group i / (I/groups).
  template <class Visit>
  void each_input(std::size_t channel, Visit&& visit) const {
    const std::size_t columns = in_ / groups_, group = channel / columns, column = channel % columns, rows = outputs_ / groups_;
    for (std::size_t o = group * rows; o < (group + 1) * rows; ++o)
      for (std::size_t k = 0; k < kernel_; ++k) visit(weight_[(o * columns + column) * kernel_ + k]);
  }
  std::span<float> weight_, bias_;
  std::size_t in_, groups_, kernel_, outputs_;
};

}  // namespace

ChannelMaxima::ChannelMaxima(const Graph& graph) : maxima_(graph.values().size()) {
  for (std::size_t v = 0; v < maxima_.size(); ++v) {
    const Shape& s = graph.shape(static_cast<int>(v));
    channels_.push_back(at(s.channels()));
    area_.push_back(at(s.height()) * at(s.width()));
  }
}

void ChannelMaxima::observe(int value, std::span<const float> numbers) {
  const std::size_t channels = channels_.at(at(value)), area = area_[at(value)];
  std::vector<float>& maxima = maxima_[at(value)];
  if (maxima.empty()) maxima.assign(channels, -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < numbers.size(); ++i) maxima[i / area % channels] = std::max(maxima[i / area % channels], numbers[i]);
}

const std::vector<float>& ChannelMaxima::of(int value) const { return maxima_.at(at(value)); }

Equalization equalize(FoldedNetwork& network, const ChannelMaxima* maxima) {
  Equalization result;
  const std::vector<Pair> pairs = find_pairs(network.graph, maxima != nullptr);
  for (const Pair& pair : pairs)
    for (const int node : {pair.first, pair.second}) {
      const std::string& name = network.graph.nodes()[at(node)].name;
      find(network.weights, name + ".weight");
      if (!network.weights.contains(name + ".bias")) fail_with_hint("equalize", "fold_network() gives every layer one", "{} has no bias", name);
    }
  std::map<int, std::vector<double>> scaled;  // per value behind a relu6: what its channels have been divided by
  for (const Pair& pair : pairs)
    for (const int v : pair.capped) scaled[v].assign(at(network.graph.shape(v).channels()), 1);
  double change = pairs.empty() ? 0 : 1;
  while (change > kSmall && result.sweeps < kSweeps) {
    change = 0;
    ++result.sweeps;
    for (const Pair& pair : pairs) {
      Layer first(network.graph, network.graph.nodes()[at(pair.first)], network.weights);
      Layer second(network.graph, network.graph.nodes()[at(pair.second)], network.weights);
      const auto channels = at(network.graph.shape(network.graph.nodes()[at(pair.first)].outputs[0]).channels());
      for (std::size_t c = 0; c < channels; ++c) {
        const double r1 = first.out_range(c), r2 = second.in_range(c);
        if (!(r1 > 1e-12) || !(r2 > 1e-12)) continue;  // a dead channel
        double s = std::clamp(std::sqrt(r1 / r2), 1 / kLargestFactor, kLargestFactor);
        for (const int v : pair.capped) {
          const std::vector<float>& seen = maxima->of(v);
          const double most = seen.empty() ? 6 : std::max(0.0, static_cast<double>(seen[c])) / scaled[v][c];
          s = most >= kFarFromCap ? 1 : std::max(s, most / kFarFromCap);
        }
        if (s == 1) continue;
        first.divide_output(c, s);
        second.multiply_input(c, s);
        for (const int v : pair.capped) scaled[v][c] *= s;
        change = std::max(change, std::fabs(std::log(s)));
        result.largest_factor = std::max({result.largest_factor, s, 1 / s});
      }
    }
  }
  result.pairs = static_cast<int>(pairs.size());
  for (const Pair& pair : pairs) result.relu6_pairs += pair.capped.empty() ? 0 : 1;
  return result;
}

}  // namespace micromind
