#include "micromind/train/fused/moments.h"

#include <memory>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {

Moments moments_of(const at::Tensor& x) {
  constexpr Int kChunk = 256, kLeast = 1024;  // pixels summed in float, and of a part
  const Int channels = x.size(1), rows = x.numel() / channels, size = channels * channels + channels, parts = part_count(rows, kLeast);
  const float* const in = data(x);
  std::vector<float> one(static_cast<std::size_t>(channels), 1.0f), minus(static_cast<std::size_t>(channels), 0.0f);
  const Int some = std::min(rows, kChunk);
  kernels().channel_sums(in, some, channels, minus.data());
  for (float& m : minus) m /= -static_cast<float>(some);

  std::vector<double> sums(static_cast<std::size_t>(parts * size), 0.0);
  for_parts(rows, channels * channels / 4, [&](Int part, Int first, Int last) {
    const std::unique_ptr<float[]> scratch(new float[static_cast<std::size_t>(kChunk * channels + size)]);
    float *const shifted = scratch.get(), *const chunk = shifted + kChunk * channels;
    double* const sum = sums.data() + part * size;
    for (Int p = first; p < last; p += kChunk) {
      const Int count = std::min(kChunk, last - p);
      kernels().channel_scale(in + p * channels, count, channels, one.data(), minus.data(), shifted);
      kernels().multiply(channels, channels, count, shifted, 1, channels, shifted, channels, chunk, channels, false);
      std::fill(chunk + channels * channels, chunk + size, 0.0f);
      kernels().channel_sums(shifted, count, channels, chunk + channels * channels);
      for (Int i = 0; i < size; ++i) sum[i] += chunk[i];
    }
  }, kLeast);
  for (Int part = 1; part < parts; ++part)
    for (Int i = 0; i < size; ++i) sums[static_cast<std::size_t>(i)] += sums[static_cast<std::size_t>(part * size + i)];

  Moments m{std::vector<double>(static_cast<std::size_t>(channels)), at::empty({channels, channels}, at::kFloat)};
  const double count = static_cast<double>(rows);
  const double* const linear = sums.data() + channels * channels;
  for (Int i = 0; i < channels; ++i) {
    m.mean[static_cast<std::size_t>(i)] = linear[i] / count - minus[static_cast<std::size_t>(i)];
    for (Int j = 0; j < channels; ++j)
      m.covariance.data_ptr<float>()[i * channels + j] =
          static_cast<float>((sums[static_cast<std::size_t>(i * channels + j)] - linear[i] * linear[j] / count) / count);
  }
  return m;
}

PartStatistics::PartStatistics(Int parts, Int channels)
    : channels_(channels), sums_(static_cast<std::size_t>(2 * parts * channels), 0.0), count_(static_cast<std::size_t>(parts), 0.0),
      shift_(static_cast<std::size_t>(parts * channels)) {}

void PartStatistics::add(Int part, const float* x, Int rows) {
  float* const shift = shift_.data() + part * channels_;
  if (count_[static_cast<std::size_t>(part)] == 0) std::copy_n(x, channels_, shift);
  double* const sum = sums_.data() + 2 * part * channels_;
  kernels().norm_statistics(x, rows, channels_, shift, sum, sum + channels_);
  count_[static_cast<std::size_t>(part)] += static_cast<double>(rows);
}

void PartStatistics::finish(float* mean, std::vector<double>& variance) const {
  const Int parts = static_cast<Int>(count_.size());
  for (Int c = 0; c < channels_; ++c) {
    double sum = 0, all = 0, squares = 0;
    for (Int p = 0; p < parts; ++p) {
      const double n = count_[static_cast<std::size_t>(p)];
      sum += n * shift_[static_cast<std::size_t>(p * channels_ + c)] + sums_[static_cast<std::size_t>(2 * p * channels_ + c)];
      all += n;
    }
    const double middle = sum / all;
    for (Int p = 0; p < parts; ++p) {  // Σ(x − middle)² = Σ(x − shift)² + 2·(shift − middle)·Σ(x − shift) + n·(shift − middle)²
      const double* const s = sums_.data() + 2 * p * channels_;
      const double away = shift_[static_cast<std::size_t>(p * channels_ + c)] - middle;
      squares += s[channels_ + c] + away * (2 * s[c] + count_[static_cast<std::size_t>(p)] * away);
    }
    mean[c] = static_cast<float>(middle);
    variance[static_cast<std::size_t>(c)] = std::max(0.0, squares / all);
  }
}

}  // namespace micromind::fused
