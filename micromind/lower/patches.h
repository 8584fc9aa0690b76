// Patch-wise execution of the first, high-resolution layers (MCUNetV2, arXiv:2110.15352), as a rewriting of the graph: a
// stretch of layers becomes `strips` copies of itself, each of which computes a band of the last layer's rows from the rows
// of the input that it needs, so that only a strip of what lies between is in RAM at a time.
//
//   const SplitGraph split = split_rows(lowered, {.first = 0, .last = 7, .strips = 4});
//
//   image ─▶ conv ─▶ depthwise ─▶ pointwise ─▶ …      becomes
//   image ─▶ rows 0–13  ─▶ conv.strip0 ─▶ depthwise.strip0 ─▶ pointwise.strip0 ─▶ join_rows ─▶ …
//         ─▶ rows 11–24 ─▶ conv.strip1 ─▶ depthwise.strip1 ─▶ pointwise.strip1 ─▶
//
// The result is the same to the byte. Its price is that rows at the seams are computed twice (extra_macs()). Padding stays
// where the image ends. Taking rows and joining them is free: see TakeRows, JoinRows. Planner, execution, emitter, comparison
// and cost see an ordinary graph.
#pragma once

#include <cstdint>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/lower/lower.h"

namespace micromind {

/// Which nodes of a lowered graph run strip by strip: first … last, both included.
struct Patches {
  int first = 0, last = -1;
  int strips = 1;
};

struct SplitGraph {
  Graph graph;
  std::vector<int> source_node;   ///< per node: the node that it is (a strip of); −1 for take_rows and join_rows
  std::vector<int> source_value;  ///< per value: the value that it is (rows of)
};

/// The nodes that can be `last` for this `first`, in order: between the two lie only operators of images that need
/// neighbouring rows at most (convolution, pooling, element-wise, padding, upsampling, joins of channels), and nothing
/// within is read from behind, is an output, or belongs to an entry point. Empty when there is none.
std::vector<int> patch_ends(const Graph& lowered, int first = 0);

/// Throws Error that names the node when the stretch is none of those, for fewer than two strips, for more strips than the
/// last layer has rows, and where a strip would consist of padding alone.
SplitGraph split_rows(const Graph& lowered, const Patches& patches);

/// The same with the origins of the nodes; each strip but the first shares the constants of the first.
Lowered split_rows(const Lowered& lowered, const Patches& patches);

/// An int8 model with the weights under the names of all strips. (The emitter writes equal constants once.)
Model split_rows(const Model& model, const Patches& patches);

/// Multiply-accumulates that split_rows() adds: exact, and without building the graph. Throws as split_rows() does.
std::int64_t extra_macs(const Graph& lowered, const Patches& patches);

}  // namespace micromind
