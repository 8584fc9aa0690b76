// A whole inverted residual as one operator: 1×1 → norm → act [→ dropout of whole channels] → depthwise → norm → act
// [→ squeeze-and-excite] → 1×1 (Sandler et al. 2018; PhiNets, MobileNetV2, V3). Training on a CPU waits for memory, and
// most of what moves is the expanded image, t₀ times as wide as the block's input. Here it exists only for the images at
// work, in the second cache, and is made again in the backward pass.
//
// That works because batch norm behind a 1×1 convolution needs no look at what the convolution makes. With x less its
// mean over the batch's M pixels, C its covariance and y = W·x:
//   mean y = 0, var y_c = w_cᵀ·C·w_c.
// Backward, with dz the gradient behind the norm, s = w/√(var + eps) its scale, and slope and level as in norm_lines.h:
//   dW = s∘Σ dz⊗x + M·slope∘(W·C),   dx = Wᵀ(s∘dz) + Wᵀ·diag(slope)·W·x + Wᵀ·level,
// of which the last two terms need the block's input alone and are added once the sums are known.
//
// Error: C is summed in double over chunks of 256 pixels of float products, less a shift near the mean. Where a channel's
// variance is less than a thousandth of Σ w²·C_ii, so that cancellation would cost more than three digits, the variances
// are summed over y itself.
#pragma once

#include "micromind/graph/ops/batch_norm.h"
#include "micromind/graph/ops/conv2d.h"
#include "micromind/train/fused/depthwise.h"
#include "micromind/train/fused/squeeze_excite.h"

namespace micromind::fused {

struct InvertedResidual {
  at::Tensor expand;       ///< [M, C, 1, 1]
  NormInputs first;        ///< without x
  NormActOptions options;  ///< of `first`
  at::Tensor depthwise;    ///< [M, 1, K, K], no bias
  Conv2d conv;             ///< the depthwise convolution
  NormInputs second;       ///< without x and mask
  NormActOptions second_options;
  SqueezeWeights excite;  ///< undefined: none
  Function excite_function = Function::none;
  at::Tensor project;  ///< [O, M, 1, 1]
};

/// Whether an expanded image of `channels`×`pixels` stays in the second cache.
bool inverted_residual_fits(std::int64_t channels, std::int64_t pixels);

/// x [N, C, H, W] float on the CPU → [N, O, H', W']. While training both norms need more than one pixel.
at::Tensor inverted_residual(const at::Tensor& x, const InvertedResidual& block);

}  // namespace micromind::fused
