// Batch norm between its passes over memory: from sums over pixels to a scale and an offset for each channel, and from the
// sums of the backward pass to the gradients. norm_act.h has the formulas.
#pragma once

#include <cmath>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/norm_act.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {

// What the passes need of each channel, one after the other: [5, C].
struct Lines {
  at::Tensor tensor;
  Int channels;
  explicit Lines(Int c) : tensor(at::empty({5, c}, at::kFloat)), channels(c) {}
  explicit Lines(const at::Tensor& saved) : tensor(saved), channels(saved.size(1)) {}
  float* line(int i) const { return tensor.data_ptr<float>() + i * channels; }
  float* scale() const { return line(0); }
  float* offset() const { return line(1); }
  float* mean() const { return line(2); }
  float* deviation() const { return line(3); }  ///< 1/√(var + eps)
};

inline void move_running(const BatchNorm& norm, double count, double mean, double variance, float& running_mean, float& running_var) {
  const double share = norm.momentum, unbiased = variance * count / (count - 1);
  running_mean = static_cast<float>((1 - share) * running_mean + share * mean);
  running_var = static_cast<float>((1 - share) * running_var + share * unbiased);
}

// Scale and offset from the mean, which the lines hold already, and the variance.
inline void set_scale(Lines& lines, const std::vector<double>& variance, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  const float *const w = data(weight), *const b = data(bias), *const mean = lines.mean();
  float *const scales = lines.scale(), *const offsets = lines.offset(), *const deviations = lines.deviation();
  for (Int c = 0; c < lines.channels; ++c) {
    const double deviation = 1 / std::sqrt(variance[static_cast<std::size_t>(c)] + eps), scale = w[c] * deviation;
    deviations[c] = static_cast<float>(deviation);
    scales[c] = static_cast<float>(scale);
    offsets[c] = static_cast<float>(b[c] - scale * mean[c]);
  }
}

// Mean and variance of each channel, and the running statistics moved towards them.
inline void batch_statistics(const at::Tensor& x, const BatchNorm& norm, Lines& lines, std::vector<double>& variance, float* running_mean,
                      float* running_var) {
  const Int channels = x.size(1), rows = x.numel() / channels;
  const float* const in = data(x);
  std::vector<double> sums(static_cast<std::size_t>(2 * channels * part_count(rows)), 0.0);
  for_parts(rows, channels, [&](Int part, Int first, Int last) {
    double* const sum = sums.data() + 2 * channels * part;
    kernels().norm_statistics(in + first * channels, last - first, channels, in, sum, sum + channels);  // shift: the first pixel
  });
  const double count = static_cast<double>(rows);
  for (Int c = 0; c < channels; ++c) {
    double sum = 0, square = 0;
    for (Int part = 0; part < part_count(rows); ++part) {
      sum += sums[static_cast<std::size_t>(2 * channels * part + c)];
      square += sums[static_cast<std::size_t>(2 * channels * part + channels + c)];
    }
    const double shifted = sum / count, var = std::max(0.0, square / count - shifted * shifted);
    lines.mean()[c] = static_cast<float>(in[c] + shifted);
    variance[static_cast<std::size_t>(c)] = var;
    move_running(norm, count, in[c] + shifted, var, running_mean[c], running_var[c]);
  }
}

inline Lines lines_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& running_mean,
                      const at::Tensor& running_var, const NormActOptions& options) {
  const Int channels = x.size(1);
  Lines lines(channels);
  std::vector<double> variance(static_cast<std::size_t>(channels));
  if (options.training) {
    batch_statistics(x, options.norm, lines, variance, running_mean.data_ptr<float>(), running_var.data_ptr<float>());
  } else {
    for (Int c = 0; c < channels; ++c) {
      lines.mean()[c] = data(running_mean)[c];
      variance[static_cast<std::size_t>(c)] = data(running_var)[c];
    }
  }
  set_scale(lines, variance, weight, bias, options.norm.eps);
  return lines;
}

/// dx = scale·dz + slope·x + level.
struct NormGradients {
  at::Tensor weight, bias, of_x;
  const float* slope() const { return data(of_x); }
  const float* level() const { return data(of_x) + of_x.size(1); }
};

/// sums: some times Σdz [C] and Σdz·(x − mean) [C], one pair for each part; added up in place.
inline NormGradients finish(std::vector<double>& sums, const Lines& lines, Int rows, bool training) {
  const Int channels = lines.channels, size = 2 * channels;
  for (Int i = size; i < static_cast<Int>(sums.size()); i += size)
    for (Int c = 0; c < size; ++c) sums[static_cast<std::size_t>(c)] += sums[static_cast<std::size_t>(i + c)];
  NormGradients g{at::empty({channels}, at::kFloat), at::empty({channels}, at::kFloat), at::zeros({2, channels}, at::kFloat)};
  float *const slope = g.of_x.data_ptr<float>(), *const level = slope + channels;
  float *const weight = g.weight.data_ptr<float>(), *const bias = g.bias.data_ptr<float>();
  const float *const deviations = lines.deviation(), *const scales = lines.scale(), *const means = lines.mean();
  for (Int c = 0; c < channels; ++c) {
    const double sum = sums[static_cast<std::size_t>(c)], product = sums[static_cast<std::size_t>(channels + c)];
    const double deviation = deviations[c], scale = scales[c];
    bias[c] = static_cast<float>(sum);
    weight[c] = static_cast<float>(product * deviation);
    if (!training) continue;  // the statistics are constants
    const double s = -scale * deviation * deviation * product / static_cast<double>(rows);
    slope[c] = static_cast<float>(s);
    level[c] = static_cast<float>(-scale * sum / static_cast<double>(rows) - s * means[c]);
  }
  return g;
}

}  // namespace micromind::fused
