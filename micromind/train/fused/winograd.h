// 3×3 convolutions of stride 1 and padding 1, by Winograd's F(2×2, 3×3) (winograd.inl): 16 products for 36. Rounding errors are about
// twice those of the plain sum.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/ops/conv2d.h"
#include "micromind/train/fused/kernels.h"

namespace micromind::fused {

/// From 4 channels to 16 or more, where the products have work enough.
bool winograd_applies(const Conv2d& conv, Int channels);

/// y = weight [O, C, 3, 3] ∗ x [N, C, H, W] (+ bias).
at::Tensor winograd(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace micromind::fused
