// A trained network with its batch norms folded into the weights before them: the float network that an int8 model
// stands for, number by number. Equalisation (equalize.h), bias correction (bias_correction.h) and quantisation-aware
// training (train/qat.h) work on it.
#pragma once

#include "micromind/graph/graph.h"

namespace micromind {

struct FoldedNetwork {
  Graph graph;      ///< no batch norm, no dropout; convolutions and linear layers have a bias; names are the network's
  Weights weights;  ///< in PyTorch's layouts
};

/// Folds as lowering does: a batch norm goes into the convolution or linear layer that it alone reads, and becomes a 1×1
/// depthwise convolution of its own name where there is none. Quantising the result gives the bytes that quantising the
/// network with the same ranges gives. Throws Error on weights that are missing, of the wrong shape or not finite.
FoldedNetwork fold_network(const Graph& network, const Weights& weights);

}  // namespace micromind
