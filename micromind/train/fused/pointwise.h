// 1×1 convolution: a matrix product over pixels, [N·H·W, in] × [in, out], with the products of the backward pass. The
// channel counts of these networks (24, 48, 112 …) are far from what general matrix products are tuned for.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/ops/conv2d.h"

namespace micromind::fused {

bool pointwise_applies(const Conv2d& conv);

/// x [N, C, H, W] float on the CPU, weight [O, C, 1, 1], bias [O] or undefined → [N, O, H, W].
at::Tensor pointwise(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace micromind::fused
