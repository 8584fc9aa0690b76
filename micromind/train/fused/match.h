// Where a graph's nodes can run as one fused operator, and how. A stretch of nodes is fused when nobody else reads the
// values inside it.
#pragma once

#include <span>
#include <vector>

#include "micromind/graph/graph.h"
#include "micromind/train/operators.h"

namespace micromind::fused {

/// norm_act: with the depthwise convolution behind it, where there is one.
enum class Kind { none, norm_act, depthwise, pointwise, winograd, inverted_residual, squeeze_excite, sigmoid_gate, pool };

/// Of the node at which the stretch starts to run.
struct Match {
  Kind kind = Kind::none;
  std::vector<std::size_t> nodes;  ///< in order; the first is this node, the last makes the result
};

/// A match for each node that starts one. `readers[value]`: how many needed nodes and wanted outputs read it. With `whole`
/// false every node stays on its own, so that all values can be observed; with `norms` false batch norms do (and go through libtorch).
/// While training, a `frozen` node's batch norm is in no stretch whose other norms train.
std::vector<Match> find_matches(const Graph& graph, std::span<const char> needed, std::span<const int> readers, std::span<const char> frozen,
                                bool training, bool whole, bool norms);

/// Runs a stretch. `input`: of its first node (of the gate: x and g); `parameters`: those of each node of the graph.
at::Tensor run(const Graph& graph, const Match& match, const TensorList& inputs, const std::vector<TensorList>& parameters,
               OpContext context);

}  // namespace micromind::fused
