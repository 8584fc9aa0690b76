// From a trained float network to an int8 Model, TFLite's 8-bit quantisation specification: per-channel symmetric
// weights of convolutions, per-tensor of linear layers, per-tensor asymmetric activations, int32 biases.
//
//   const Lowered lowered = lower(graph);
//   const Model int8 = quantize(graph, lowered, weights, ranges);
#pragma once

#include "micromind/graph/model.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/calibration.h"

namespace micromind {

/// Float weights of a convolution or linear layer after folding batch norm.
struct FoldedNode {
  std::vector<float> weight, bias;
};
/// In PyTorch's layout (OIHW, OI). Throws Error on weights that are missing, of the wrong shape or not finite.
FoldedNode fold_parameters(const Graph& network, const Weights& weights, const NodeOrigin& origin);
/// Of a lowered node, in the runtime's layout (see Model).
FoldedNode fold(const Graph& network, const Lowered& lowered, const Weights& weights, int node);

/// Which values of a lowered graph share one scale and zero point, because an operator only moves or selects numbers.
struct ScaleGroups {
  std::vector<int> root;    ///< per value: the value that stands for its group
  std::vector<bool> fixed;  ///< per value: the scale is 1/256 whatever the range (sigmoid, softmax)
};
ScaleGroups scale_groups(const Graph& lowered);

struct QuantizeOptions {
  bool per_channel_linear = false;  ///< TFLite's older runtimes take linear layers per tensor only
};

/// `ranges` has one entry a value of `network` (the source graph). Throws Error on weights that are missing, of the
/// wrong shape or not finite.
Model quantize(const Graph& network, const Lowered& lowered, const Weights& weights, const std::vector<Range>& ranges,
               const QuantizeOptions& options = {});

}  // namespace micromind
