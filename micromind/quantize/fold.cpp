// Batch-norm folding and the change from PyTorch's layouts to the runtime's.
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/quantize/quantize.h"

namespace micromind {
namespace {

// y = x·scale + offset per channel: what a trained batch norm does at inference.
struct Affine {
  std::vector<float> scale, offset;
};

std::span<const float> floats(const Weights& weights, const std::string& name, const Shape& shape) {
  const Array& array = find(weights, name);
  if (!(array.shape() == shape)) fail("quantize", "{} is {}, the network expects {}", name, to_string(array.shape()), to_string(shape));
  for (const float x : array.values<float>())
    if (!std::isfinite(x)) fail_with_hint("quantize", "the training diverged; use an earlier checkpoint", "{} holds a number that is not finite", name);
  return array.values<float>();
}

Affine affine_of(const Graph& network, const Weights& weights, int batch_norm) {
  const Node& node = network.nodes()[static_cast<std::size_t>(batch_norm)];
  const float eps = std::get<BatchNorm>(node.op).eps;
  const Shape channels = {network.shape(node.inputs[0]).channels()};
  const auto get = [&](const char* suffix) { return floats(weights, node.name + suffix, channels); };
  const auto weight = get(".weight"), bias = get(".bias"), mean = get(".running_mean"), variance = get(".running_var");
  Affine affine;
  for (std::size_t c = 0; c < weight.size(); ++c) {
    const double scale = weight[c] / std::sqrt(static_cast<double>(variance[c]) + eps);
    affine.scale.push_back(static_cast<float>(scale));
    affine.offset.push_back(static_cast<float>(bias[c] - mean[c] * scale));
  }
  return affine;
}

// OIHW → O·KH·KW·I, or for depthwise weights (O, 1, KH, KW) → KH·KW·O.
std::vector<float> runtime_layout(std::span<const float> weight, const Shape& s, bool depthwise) {
  std::vector<float> out(weight.size());
  const int O = s[0], I = s[1], H = s[2], W = s[3];
  std::size_t from = 0;
  for (int o = 0; o < O; ++o)
    for (int i = 0; i < I; ++i)
      for (int h = 0; h < H; ++h)
        for (int w = 0; w < W; ++w) {
          const int to = depthwise ? (h * W + w) * O + o : ((o * H + h) * W + w) * I + i;
          out[static_cast<std::size_t>(to)] = weight[from++];
        }
  return out;
}

// The columns of a linear layer behind a flatten, from (C, H, W) to (H, W, C) order.
void permute_columns(std::vector<float>& weight, const Shape& image) {
  const std::size_t C = static_cast<std::size_t>(image.channels());
  const std::size_t area = static_cast<std::size_t>(image.height()) * static_cast<std::size_t>(image.width());
  std::vector<float> row(C * area);
  for (std::size_t start = 0; start < weight.size(); start += row.size()) {
    for (std::size_t c = 0; c < C; ++c)
      for (std::size_t p = 0; p < area; ++p) row[p * C + c] = weight[start + c * area + p];
    std::copy(row.begin(), row.end(), weight.begin() + static_cast<std::ptrdiff_t>(start));
  }
}

}  // namespace

FoldedNode fold_parameters(const Graph& network, const Weights& weights, const NodeOrigin& origin) {
  FoldedNode folded;
  Affine affine;
  if (origin.batch_norm >= 0) affine = affine_of(network, weights, origin.batch_norm);
  if (origin.parameters < 0) {  // a batch norm on its own
    folded.weight = std::move(affine.scale);
    folded.bias = std::move(affine.offset);
    return folded;
  }
  const Node& source = network.nodes()[static_cast<std::size_t>(origin.parameters)];
  const Shapes in_shapes = {network.shape(source.inputs[0])};
  bool has_bias = false;
  for (const ParameterSpec& p : parameters(source.op, in_shapes)) {
    const auto values = floats(weights, fmt::format("{}.{}", source.name, p.suffix), p.shape);
    if (p.suffix == "bias") {
      has_bias = true;
      folded.bias.assign(values.begin(), values.end());
    } else {
      folded.weight.assign(values.begin(), values.end());
    }
  }
  const auto* conv = std::get_if<Conv2d>(&source.op);
  const auto outputs = static_cast<std::size_t>(conv != nullptr ? conv->out_channels : std::get<Linear>(source.op).out_features);
  if (!has_bias) folded.bias.assign(outputs, 0.0f);
  if (origin.batch_norm < 0) return folded;
  const std::size_t per_output = folded.weight.size() / outputs;
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t i = 0; i < per_output; ++i) folded.weight[o * per_output + i] *= affine.scale[o];
    folded.bias[o] = folded.bias[o] * affine.scale[o] + affine.offset[o];
  }
  return folded;
}

FoldedNode fold(const Graph& network, const Lowered& lowered, const Weights& weights, int node_index) {
  const NodeOrigin& origin = lowered.origin[static_cast<std::size_t>(node_index)];
  if (origin.parameters < 0 && origin.batch_norm < 0)
    fail("quantize", "{} has no weights", lowered.graph.nodes()[static_cast<std::size_t>(node_index)].name);
  FoldedNode folded = fold_parameters(network, weights, origin);
  if (origin.parameters < 0) return folded;
  const Node& source = network.nodes()[static_cast<std::size_t>(origin.parameters)];
  if (const auto* conv = std::get_if<Conv2d>(&source.op)) {
    const Shape in = network.shape(source.inputs[0]);
    const Shape shape = {conv->out_channels, in.channels() / conv->groups, conv->kernel.h, conv->kernel.w};
    folded.weight = runtime_layout(folded.weight, shape, conv->depthwise(in));
  } else if (origin.flattened.rank() == 3) {
    permute_columns(folded.weight, origin.flattened);
  }
  return folded;
}

}  // namespace micromind
