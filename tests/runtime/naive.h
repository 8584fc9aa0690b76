// The tests' own arithmetic and tensors. Everything here is written from the definition, in 64 bits and with
// plain loops, and shares no line with the kernels.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "micromind/base/random.h"

namespace micromind::naive {

/// a / b rounded to minus infinity; b > 0.
inline std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/// a / b to nearest, ties away from zero; b > 0.
inline std::int64_t round_divide(std::int64_t a, std::int64_t b) {
  const std::int64_t magnitude = ((a < 0 ? -a : a) * 2 + b) / (2 * b);
  return a < 0 ? -magnitude : magnitude;
}

/// The 32 low bits as a signed number.
inline std::int64_t wrap(std::int64_t value) {
  const std::int64_t span = std::int64_t{1} << 32;
  std::int64_t low = value % span;
  if (low < 0) low += span;
  return low >= span / 2 ? low - span : low;
}

/// value * multiplier * 2^(shift - 31), rounded at bit 31 (ties up), then at the right shift (ties away from
/// zero).
inline std::int64_t requantize(std::int64_t value, std::int64_t multiplier, int shift) {
  if (shift > 0) value = wrap(value * (std::int64_t{1} << shift));
  const std::int64_t high = floor_divide(value * multiplier + (std::int64_t{1} << 30), std::int64_t{1} << 31);
  return shift < 0 ? round_divide(high, std::int64_t{1} << -shift) : high;
}

inline std::int8_t finish(std::int64_t value, std::int32_t multiplier, int shift, int offset, int low,
                          int high) {
  const std::int64_t shifted = wrap(requantize(wrap(value), multiplier, shift) + offset);
  return static_cast<std::int8_t>(std::clamp<std::int64_t>(shifted, low, high));
}

/// A uniform integer in low…high.
inline int pick(Random& random, int low, int high) {
  return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1)));
}

/// Uniform bytes, or (one time in four) all the extremes that overflow first: -128s, 127s, a mixture.
inline std::vector<std::int8_t> bytes(Random& random, std::size_t n) {
  std::vector<std::int8_t> data(n);
  const auto kind = random.below(12);
  for (auto& x : data) {
    if (kind == 0) {
      x = -128;
    } else if (kind == 1) {
      x = 127;
    } else if (kind == 2) {
      x = random.below(2) != 0 ? 127 : -128;
    } else {
      x = static_cast<std::int8_t>(pick(random, -128, 127));
    }
  }
  return data;
}

/// A multiplier in [2^30, 2^31), its ends included now and then.
inline std::int32_t multiplier(Random& random) {
  const auto kind = random.below(16);
  if (kind == 0) return 1 << 30;
  if (kind == 1) return 2147483647;
  return static_cast<std::int32_t>((1u << 30) + random.below(1u << 30));
}

/// A shift that brings sums of about `magnitude` to the range of a byte; now and then any legal shift.
inline int shift(Random& random, double magnitude) {
  if (random.below(10) == 0) return pick(random, -31, 8);
  int right = 0;
  while (magnitude > 128) {
    magnitude /= 2;
    ++right;
  }
  return std::clamp(pick(random, -right - 1, -right + 2), -31, 31);
}

/// Output limits: mostly open, sometimes a fused activation.
inline void limits(Random& random, std::int32_t* low, std::int32_t* high) {
  *low = -128;
  *high = 127;
  if (random.below(3) != 0) return;
  *low = pick(random, -128, 100);
  *high = pick(random, *low, 127);
}

/// Biases of a convolution: small ones, absent ones (an empty vector), and such as wrap around.
inline std::vector<std::int32_t> biases(Random& random, int n) {
  std::vector<std::int32_t> data;
  const auto kind = random.below(8);
  if (kind == 0) return data;
  for (int i = 0; i < n; ++i) {
    data.push_back(kind == 1 ? static_cast<std::int32_t>(random.next()) : pick(random, -20000, 20000));
  }
  return data;
}

/// An output with guards on both sides, so that a byte written outside is seen.
class Output {
 public:
  explicit Output(std::size_t n) : n_(n), data_(n + 2 * kGuard, kPattern) {}
  std::int8_t* data() { return data_.data() + kGuard; }
  std::vector<std::int8_t> values() const {
    return {data_.begin() + kGuard, data_.begin() + static_cast<std::ptrdiff_t>(kGuard + n_)};
  }
  bool guarded() const {
    const auto intact = [](std::int8_t x) { return x == kPattern; };
    return std::all_of(data_.begin(), data_.begin() + kGuard, intact) &&
           std::all_of(data_.end() - kGuard, data_.end(), intact);
  }

 private:
  static constexpr int kGuard = 32;
  static constexpr std::int8_t kPattern = 0x5a;
  std::size_t n_;
  std::vector<std::int8_t> data_;
};

}  // namespace micromind::naive
