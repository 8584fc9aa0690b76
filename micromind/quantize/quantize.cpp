#include "micromind/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Operators that only move or select numbers keep their scale: TFLite demands one quantisation for their inputs and
// outputs.
bool keeps_scale(const Op& op) {
  return std::visit(Overloaded{
                        [](const Concat&) { return true; },
                        [](const Split&) { return true; },
                        [](const MaxPool2d&) { return true; },
                        [](const AvgPool2d&) { return true; },
                        [](const AdaptiveAvgPool2d& o) { return !o.global(); },
                        [](const Upsample&) { return true; },
                        [](const Pad&) { return true; },
                        [](const Flatten&) { return true; },
                        [](const Conv2d&) { return false; },
                        [](const Linear&) { return false; },
                        [](const BatchNorm&) { return false; },
                        [](const Activation&) { return false; },
                        [](const Add&) { return false; },
                        [](const Multiply&) { return false; },
                        [](const Dropout&) { return true; },
                        [](const Softmax&) { return false; },
                        [](const Requantize&) { return false; },
                        [](const TakeRows&) { return true; },
                        [](const JoinRows&) { return true; },
                    },
                    op);
}

bool fixed_scale(const Op& op) {
  const auto* activation = std::get_if<Activation>(&op);
  return std::holds_alternative<Softmax>(op) || (activation != nullptr && activation->function == Function::sigmoid);
}
constexpr Quantization kUnitInterval = {1.0f / 256, -128};  // TFLite's fixed output of LOGISTIC and SOFTMAX

// Values that must share one quantisation, as a union-find forest.
class Groups {
 public:
  explicit Groups(std::size_t n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), 0); }
  int find(int v) {
    while (parent_[at(v)] != v) v = parent_[at(v)] = parent_[at(parent_[at(v)])];
    return v;
  }
  void join(int a, int b) { parent_[at(find(b))] = find(a); }

 private:
  std::vector<int> parent_;
};

void set_activation_types(const Lowered& lowered, const std::vector<Range>& ranges, Graph& graph) {
  const ScaleGroups groups = scale_groups(graph);
  std::vector<Range> merged(groups.root.size());
  for (std::size_t v = 0; v < groups.root.size(); ++v) {
    const Range& r = ranges.at(at(lowered.source_value[v]));
    Range& m = merged[at(groups.root[v])];
    m.min = std::min(m.min, r.min);
    m.max = std::max(m.max, r.max);
  }
  for (std::size_t v = 0; v < groups.root.size(); ++v)
    graph.type(static_cast<int>(v)).quantization = groups.fixed[v] ? kUnitInterval : choose_quantization(merged[at(groups.root[v])]);
}

struct WeightLayout {
  Shape shape;
  bool channel_last;  // the output channel is the innermost index (depthwise)
};

WeightLayout layout_of(const Graph& graph, const Node& node) {
  const Shape& in = graph.shape(node.inputs[0]);
  if (const auto* linear = std::get_if<Linear>(&node.op)) return {{linear->out_features, in[0]}, false};
  const Conv2d& conv = std::get<Conv2d>(node.op);
  if (conv.depthwise(in)) return {{1, conv.kernel.h, conv.kernel.w, conv.out_channels}, true};
  return {{conv.out_channels, conv.kernel.h, conv.kernel.w, in.channels() / conv.groups}, false};
}

void quantize_weights(const Graph& graph, const Node& node, const FoldedNode& folded, bool per_channel, Weights& out) {
  const auto [shape, channel_last] = layout_of(graph, node);
  const std::size_t channels = folded.bias.size();
  const std::size_t per_output = folded.weight.size() / channels;
  const auto output_of = [&](std::size_t i) { return channel_last ? i % channels : i / per_output; };
  const double in_scale = graph.type(node.inputs[0]).quantization->scale;

  std::vector<double> largest(channels, 0);
  for (std::size_t i = 0; i < folded.weight.size(); ++i)
    largest[output_of(i)] = std::max(largest[output_of(i)], std::fabs(static_cast<double>(folded.weight[i])));
  if (!per_channel) largest.assign(channels, *std::max_element(largest.begin(), largest.end()));
  Array weight(ElementType::int8, shape), bias(ElementType::int32, {static_cast<std::int32_t>(channels)});
  std::vector<float> scales(channels);
  double bias_floor = 0;  // the least scale at which every bias fits 30 bits
  for (std::size_t o = 0; o < channels; ++o) {
    const double floor = std::fabs(static_cast<double>(folded.bias[o])) / (in_scale * 0x1p30);
    bias_floor = per_channel ? floor : std::max(bias_floor, floor);
    scales[o] = static_cast<float>(std::max({largest[o] / 127, bias_floor, 1e-12}));
  }
  if (!per_channel) scales.assign(1, *std::max_element(scales.begin(), scales.end()));
  const auto scale_of = [&](std::size_t o) { return static_cast<double>(scales[scales.size() == 1 ? 0 : o]); };

  const auto w = weight.values<std::int8_t>();
  for (std::size_t i = 0; i < folded.weight.size(); ++i)
    w[i] = static_cast<std::int8_t>(std::clamp(std::round(folded.weight[i] / scale_of(output_of(i))), -127.0, 127.0));
  const auto b = bias.values<std::int32_t>();
  for (std::size_t o = 0; o < channels; ++o)
    b[o] = static_cast<std::int32_t>(std::clamp(std::round(folded.bias[o] / (in_scale * scale_of(o))), -0x1p31, 0x1p31 - 1));
  weight.scales = std::move(scales);
  out[node.name + ".weight"] = std::move(weight);
  out[node.name + ".bias"] = std::move(bias);
}

}  // namespace

ScaleGroups scale_groups(const Graph& graph) {
  const std::size_t n = graph.values().size();
  Groups joined(n);
  for (const Node& node : graph.nodes())
    if (keeps_scale(node.op)) {
      for (const int v : node.inputs) joined.join(node.outputs[0], v);
      for (const int v : node.outputs) joined.join(node.outputs[0], v);
    }
  for (const State& s : graph.states()) joined.join(s.input, s.output);
  ScaleGroups groups{std::vector<int>(n), std::vector<bool>(n, false)};
  for (std::size_t v = 0; v < n; ++v) groups.root[v] = joined.find(static_cast<int>(v));
  for (const Node& node : graph.nodes())
    if (fixed_scale(node.op)) groups.fixed[at(groups.root[at(node.outputs[0])])] = true;
  for (std::size_t v = 0; v < n; ++v) groups.fixed[v] = groups.fixed[at(groups.root[v])];
  return groups;
}

Model quantize(const Graph& network, const Lowered& lowered, const Weights& weights, const std::vector<Range>& ranges,
               const QuantizeOptions& options) {
  if (ranges.size() != network.values().size())
    fail("quantize", "{} ranges for a network of {} values", ranges.size(), network.values().size());
  Model model{lowered.graph, {}};
  set_activation_types(lowered, ranges, model.graph);
  for (std::size_t i = 0; i < model.graph.nodes().size(); ++i) {
    const Node& node = model.graph.nodes()[i];
    const bool linear = std::holds_alternative<Linear>(node.op);
    if (!linear && !std::holds_alternative<Conv2d>(node.op)) continue;
    quantize_weights(model.graph, node, fold(network, lowered, weights, static_cast<int>(i)), !linear || options.per_channel_linear,
                     model.weights);
  }
  return model;
}

}  // namespace micromind
