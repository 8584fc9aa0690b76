// Counting: parameters as PyTorch counts them, MACs, and torchinfo's "mult-adds".
#pragma once

#include <cstdint>

#include "micromind/graph/graph.h"

namespace micromind {

struct Count {
  std::int64_t parameters = 0;          ///< trainable numbers; no running statistics
  std::int64_t macs = 0;                ///< of convolutions and linear layers, bias excluded
  std::int64_t torchinfo_mult_adds = 0; ///< torchinfo's rule at batch 1: a convolution's weights and biases times its
                                        ///< output's area, batch norm's weights and biases once, linear's likewise
  Count& operator+=(const Count& other);
};

Count count(const Graph& graph, const Node& node);  ///< allocates nothing
Count count(const Graph& graph);

std::int64_t count_parameters(const Graph& graph);
std::int64_t count_macs(const Graph& graph);
std::int64_t torchinfo_mult_adds(const Graph& graph);

}  // namespace micromind
