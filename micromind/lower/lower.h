// Lowering: the structural pass from a network to what a chip runs. It allocates no tensor, so memory, cost and
// scaling can call it a hundred thousand times a second, and quantisation, execution and the C emitter walk its
// result: the RAM that a design promises is the RAM that the chip needs, by structure.
//
//   1. dropout and nodes without effect go;
//   2. batch norm folds into the convolution or linear layer before it, or becomes a 1×1 depthwise convolution;
//   3. zero padding merges into the convolution behind it;
//   4. relu and relu6 fuse into the convolution, linear layer or addition before them;
//   5. adaptive pooling with a whole ratio becomes average pooling; global pooling stays (its scale may change);
//   6. a requantize goes in front of operators that need equal scales (concat …) where a producer's scale is fixed
//      (sigmoid, softmax);
//   7. branches run in the order that needs the least memory (memory/order.h), the source's where none gains.
#pragma once

#include "micromind/graph/graph.h"

namespace micromind {

/// Where the float weights of a lowered node come from: indices of nodes of the source graph.
struct NodeOrigin {
  int parameters = -1;  ///< the conv2d or linear node; −1: none
  int batch_norm = -1;  ///< the batch norm folded behind it, or standing alone where `parameters` is −1
  Shape flattened;      ///< linear behind the flatten of an image with H·W > 1: that image's shape, else rank 0
  int shares = -1;      ///< the node of the lowered graph with the same weights and tables (a further strip, patches.h), or −1
};

struct Lowered {
  Graph graph;                     ///< all values int8, not yet quantised; names are the source's
  std::vector<int> source_value;   ///< per value: the source graph's value that holds the same numbers
  std::vector<NodeOrigin> origin;  ///< per node
};

struct LowerOptions {
  bool order = true;  ///< false: step 7 is left out. Scaling does: what it reads off a graph must hold for all widths.
};

Lowered lower(const Graph& graph, const LowerOptions& options = {});

/// The graph of an int8 model (graph/model.h) as the Lowered that it already is: nodes and values stand for themselves.
/// Lowering it again could change what runs, and with it the cost.
Lowered as_lowered(const Graph& int8_graph);

/// The runtime kernel that executes a lowered node: "conv2d_s8", "pointwise_conv2d_s8", "table_s8", …; "" for a node
/// that costs nothing (flatten). It is the name of the file in runtime/kernels and of the row in the flash model.
std::string_view kernel_of(const Graph& lowered, const Node& node);

}  // namespace micromind
