// The two small layers of squeeze-and-excite, gate = σ(W₂·f(W₁·mean + b₁) + b₂), for a batch of means.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/train/fused/squeeze_excite.h"

namespace micromind::fused {

/// Of N means: z and a = f(z) [N, R], gate [N, C].
struct Excitation {
  at::Tensor mean, z, a, gate;
};
Excitation excite(const at::Tensor& mean, const SqueezeWeights& weights, Function f);

struct ExcitationGradients {
  at::Tensor mean, reduce, reduce_bias, expand, expand_bias;  ///< biases: where the weights have them
};
/// dz2 [N, C]: the gradient of what σ is applied to.
ExcitationGradients excite_backward(const Excitation& e, const SqueezeWeights& weights, Function f, const at::Tensor& dz2);

}  // namespace micromind::fused
