// Depthwise convolution forward and backward in channels-last: each image and vector of channels is one strip of work
// (depthwise.inl); the gradients of input and weight are two loops over it.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/ops/conv2d.h"
#include "micromind/train/fused/norm_act.h"

namespace micromind::fused {

/// Whether depthwise() computes it: as many channels out as in, 3×3 or 5×5, one stride both ways, no dilation, any
/// padding, no activation.
bool depthwise_applies(const Conv2d& conv, std::int64_t channels);

/// x [N, C, H, W] float on the CPU, weight [C, 1, K, K], bias [C] or undefined.
at::Tensor depthwise(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Conv2d& conv);

/// The tensors of norm_act().
struct NormInputs {
  at::Tensor x, weight, bias, running_mean, running_var, mask;
};

/// depthwise(norm_act(…), …) without writing down what is between: the convolution makes it from x as it reads, and the
/// backward pass sums for the norm while the convolution's gradient is at hand.
at::Tensor norm_depthwise(const NormInputs& norm, const NormActOptions& options, const at::Tensor& weight, const at::Tensor& bias,
                          const Conv2d& conv);

}  // namespace micromind::fused
