// Statistics of images' pixels: mean and covariance of all channels, and mean and variance gathered part by part while
// the parts are in the cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "micromind/train/fused/kernels.h"

namespace micromind::fused {

struct Moments {
  std::vector<double> mean;  ///< [C]
  at::Tensor covariance;     ///< [C, C], over as many as there are
};
/// Of x [N, C, H, W] in channels-last.
Moments moments_of(const at::Tensor& x);

/// Mean and variance of `channels` from parts; each part shifts by its own first pixel.
class PartStatistics {
 public:
  PartStatistics(Int parts, Int channels);
  /// One thread a part.
  void add(Int part, const float* x, Int rows);
  void finish(float* mean, std::vector<double>& variance) const;

 private:
  Int channels_;
  std::vector<double> sums_, count_;
  std::vector<float> shift_;
};

}  // namespace micromind::fused
