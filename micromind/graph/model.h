// A graph with its weights: what is exported, quantised, emitted and run.
#pragma once

#include "micromind/graph/graph.h"

namespace micromind {

/// Two forms share this type.
///
/// Float: the graph as built; weights in PyTorch's layouts ("name.weight" OIHW or OI, "name.bias",
/// "name.running_mean", "name.running_var").
///
/// Int8 (is_quantized): a lowered graph (lower/lower.h) whose values all are int8 with a Quantization, without batch
/// norm, dropout or float values. Per conv2d and linear node: "name.weight" int8 in the runtime's layout (conv
/// O×KH×KW×I/groups; depthwise, i.e. groups == input channels > 1, 1×KH×KW×O; linear O×I) with `scales` of one
/// entry per output channel or a single one; and "name.bias" int32 at scale input·weight (always present).
/// Activations in memory are HWC, so flatten gives the order (H, W, C).
struct Model {
  Graph graph;
  Weights weights;
};

inline bool is_quantized(const Model& model) {
  return !model.graph.inputs().empty() && model.graph.type(model.graph.inputs()[0].value).element == ElementType::int8;
}

}  // namespace micromind
