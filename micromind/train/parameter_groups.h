// What the optimiser is told of each parameter of a network: which decay, and at which rate.
#pragma once

#include "micromind/train/graph_module.h"
#include "micromind/train/optimizer.h"

namespace micromind {

/// How many layers lie behind each node, on the longest way to an output. Layers are convolutions and linear layers; a
/// batch norm, which is none, counts with the layer in front of it: as many lie behind both. 0 for the last layer.
std::vector<int> layers_behind(const Graph& graph);

/// The module's trainable parameters: the rate of each is train.layer_decay to the power of the layers behind it (Howard
/// and Ruder, ACL 2018, section 3.2, layer by layer), and with train.decay_norm_and_bias = false weight decay spares
/// tensors of one dimension: biases and batch norms (He et al., CVPR 2019, section 3.1).
/// Throws Error when everything is frozen.
std::vector<Optimizer::Parameter> optimizer_parameters(const GraphModule& module, const TrainSection& train);

}  // namespace micromind
