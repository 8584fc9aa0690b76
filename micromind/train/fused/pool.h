// Pooling where the windows tile the image: k×k maxima with stride k, and means to a size that divides it.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/ops/adaptive_avg_pool2d.h"
#include "micromind/graph/ops/max_pool2d.h"

namespace micromind::fused {

bool max_pool_applies(const MaxPool2d& pool, std::int64_t height, std::int64_t width);
bool mean_pool_applies(const AdaptiveAvgPool2d& pool, std::int64_t height, std::int64_t width);

/// x [N, C, H, W] float on the CPU. Of equal maxima the first has the gradient.
at::Tensor max_pool(const at::Tensor& x, std::int64_t window);
at::Tensor mean_pool(const at::Tensor& x, std::int64_t out_height, std::int64_t out_width);

}  // namespace micromind::fused
