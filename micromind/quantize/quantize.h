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

/// Float weights of a lowered node after folding batch norm, in the runtime's layout (see Model).
struct FoldedNode {
  std::vector<float> weight, bias;
};
FoldedNode fold(const Graph& network, const Lowered& lowered, const Weights& weights, int node);

struct QuantizeOptions {
  bool per_channel_linear = false;  ///< TFLite's older runtimes take linear layers per tensor only
};

/// `ranges` has one entry a value of `network` (the source graph). Throws Error on weights that are missing, of the
/// wrong shape or not finite.
Model quantize(const Graph& network, const Lowered& lowered, const Weights& weights, const std::vector<Range>& ranges,
               const QuantizeOptions& options = {});

}  // namespace micromind
