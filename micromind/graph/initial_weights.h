// The float weights that a network starts from: of training, and of whatever wants a network before it is trained.
//
//   const Weights weights = initial_weights(graph, 1);
#pragma once

#include <cstdint>

#include "micromind/graph/graph.h"

namespace micromind {

/// PyTorch's default initialisation: convolution and linear weights and biases uniform in ±1/√fan_in (He et al. 2015
/// with a = √5), batch norm 1 and 0, running mean 0 and variance 1. Every parameter draws from a stream of its own,
/// keyed by (seed, its name): a layer more elsewhere changes no other layer's start.
Weights initial_weights(const Graph& graph, std::uint64_t seed);

}  // namespace micromind
