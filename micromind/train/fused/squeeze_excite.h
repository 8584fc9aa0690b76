// Squeeze-and-excite (Hu et al., 2018) as one operator: y = x·σ(W₂·f(W₁·mean(x) + b₁) + b₂). Forward reads the image for
// the mean and again for the product; backward once for the gate's gradient, then writes the image's, to which the mean's
// share is added on the way.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/ops/attributes.h"

namespace micromind::fused {

/// Weights [R, C, 1, 1] and [C, R, 1, 1]; biases undefined or [R] and [C].
struct SqueezeWeights {
  at::Tensor reduce, reduce_bias, expand, expand_bias;
};

/// x [N, C, H, W] float on the CPU; f is the function between the two.
at::Tensor squeeze_excite(const at::Tensor& x, const SqueezeWeights& weights, Function f);

/// x·σ(g), both [N, C, H, W]: XiNet's attention.
at::Tensor sigmoid_gate(const at::Tensor& x, const at::Tensor& g);

}  // namespace micromind::fused
