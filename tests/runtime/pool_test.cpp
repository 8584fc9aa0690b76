// Pools and means against their definitions.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/kernels/adaptive_average_pool2d_s8.h"
#include "runtime/kernels/average_pool2d_s8.h"
#include "runtime/kernels/max_pool2d_s8.h"
#include "runtime/kernels/mean_s8.h"
#include "tests/runtime/naive.h"

namespace micromind {
namespace {

using naive::pick;

template <class Params>
Params random_pool(Random& random) {
  Params p{};
  p.in_h = pick(random, 1, 9);
  p.in_w = pick(random, 1, 9);
  p.channels = pick(random, 1, 20);
  p.kernel_h = pick(random, 1, 5);
  p.kernel_w = pick(random, 1, 5);
  p.stride_h = pick(random, 1, 3);
  p.stride_w = pick(random, 1, 3);
  p.pad_top = pick(random, 0, p.kernel_h - 1);
  p.pad_left = pick(random, 0, p.kernel_w - 1);
  p.out_h = std::max(1, (p.in_h + p.pad_top + pick(random, 0, p.kernel_h - 1) - p.kernel_h) / p.stride_h + 1);
  p.out_w =
      std::max(1, (p.in_w + p.pad_left + pick(random, 0, p.kernel_w - 1) - p.kernel_w) / p.stride_w + 1);
  naive::limits(random, &p.act_min, &p.act_max);
  return p;
}

/// The bytes of a window that lie inside the image.
template <class Params>
std::vector<int> window(const Params& p, const std::vector<std::int8_t>& input, int y, int x, int channel) {
  std::vector<int> values;
  for (int ky = 0; ky < p.kernel_h; ++ky)
    for (int kx = 0; kx < p.kernel_w; ++kx) {
      const int row = y * p.stride_h - p.pad_top + ky, column = x * p.stride_w - p.pad_left + kx;
      if (row < 0 || row >= p.in_h || column < 0 || column >= p.in_w) continue;
      values.push_back(input.at(static_cast<std::size_t>((row * p.in_w + column) * p.channels + channel)));
    }
  return values;
}

std::int64_t average(const std::vector<int>& values) {
  std::int64_t sum = 0;
  for (const int value : values) sum += value;
  return values.empty() ? 0 : naive::round_divide(sum, static_cast<std::int64_t>(values.size()));
}

template <class Params, class Kernel, class Reduce>
void check_pool(std::uint64_t seed, Kernel kernel, Reduce reduce) {
  Random random(seed);
  for (int i = 0; i < 800; ++i) {
    const auto p = random_pool<Params>(random);
    const auto input = naive::bytes(random, static_cast<std::size_t>(p.in_h * p.in_w * p.channels));
    naive::Output output(static_cast<std::size_t>(p.out_h * p.out_w * p.channels));
    kernel(&p, input.data(), output.data());
    ASSERT_TRUE(output.guarded()) << "case " << i;
    std::vector<std::int8_t> expected;
    for (int y = 0; y < p.out_h; ++y)
      for (int x = 0; x < p.out_w; ++x)
        for (int channel = 0; channel < p.channels; ++channel) {
          const auto value = reduce(p, window(p, input, y, x, channel));
          expected.push_back(static_cast<std::int8_t>(std::clamp<std::int64_t>(value, p.act_min, p.act_max)));
        }
    ASSERT_EQ(output.values(), expected) << "case " << i;
  }
}

TEST(AveragePool2d, IsItsDefinition) {
  check_pool<mm_average_pool2d_s8_params>(31, mm_average_pool2d_s8,
                                          [](const auto&, const auto& values) { return average(values); });
}

TEST(AveragePool2d, RoundsNegativeTiesAwayFromZero) {
  mm_average_pool2d_s8_params p{};
  p.in_h = p.channels = p.out_h = p.out_w = p.kernel_h = p.stride_h = p.stride_w = 1;
  p.in_w = p.kernel_w = 2;
  p.act_min = -128;
  p.act_max = 127;
  const std::int8_t negative[2] = {-3, -4}, positive[2] = {3, 4};
  std::int8_t output = 0;
  mm_average_pool2d_s8(&p, negative, &output);
  EXPECT_EQ(output, -4);
  mm_average_pool2d_s8(&p, positive, &output);
  EXPECT_EQ(output, 4);
}

TEST(MaxPool2d, IsItsDefinition) {
  check_pool<mm_max_pool2d_s8_params>(
      32, mm_max_pool2d_s8, [](const auto& p, const auto& values) -> std::int64_t {
        return values.empty() ? p.act_min : *std::max_element(values.begin(), values.end());
      });
}

TEST(AdaptiveAveragePool2d, IsItsDefinition) {
  Random random(33);
  for (int i = 0; i < 600; ++i) {
    mm_adaptive_average_pool2d_s8_params p{};
    p.in_h = pick(random, 1, 12);
    p.in_w = pick(random, 1, 12);
    p.channels = pick(random, 1, 9);
    p.out_h = pick(random, 1, 12);
    p.out_w = pick(random, 1, 12);
    const auto input = naive::bytes(random, static_cast<std::size_t>(p.in_h * p.in_w * p.channels));
    naive::Output output(static_cast<std::size_t>(p.out_h * p.out_w * p.channels));
    mm_adaptive_average_pool2d_s8(&p, input.data(), output.data());
    ASSERT_TRUE(output.guarded());
    std::vector<std::int8_t> expected;
    for (int y = 0; y < p.out_h; ++y)
      for (int x = 0; x < p.out_w; ++x)
        for (int channel = 0; channel < p.channels; ++channel) {
          std::vector<int> values;
          // A pixel belongs to a bin when their intervals, scaled by in * out, overlap.
          for (int row = 0; row < p.in_h; ++row)
            for (int column = 0; column < p.in_w; ++column) {
              const bool inside = row * p.out_h < (y + 1) * p.in_h && (row + 1) * p.out_h > y * p.in_h &&
                                  column * p.out_w < (x + 1) * p.in_w && (column + 1) * p.out_w > x * p.in_w;
              if (inside)
                values.push_back(
                    input.at(static_cast<std::size_t>((row * p.in_w + column) * p.channels + channel)));
            }
          expected.push_back(static_cast<std::int8_t>(average(values)));
        }
    ASSERT_EQ(output.values(), expected) << "case " << i;
  }
}

TEST(Mean, IsItsDefinition) {
  Random random(34);
  for (int i = 0; i < 800; ++i) {
    mm_mean_s8_params p{};
    p.in_h = pick(random, 1, 20);
    p.in_w = pick(random, 1, 20);
    p.channels = pick(random, 1, 12);
    p.input_zero_point = pick(random, -128, 127);
    p.output_zero_point = pick(random, -128, 127);
    p.multiplier = naive::multiplier(random);
    p.shift = random.below(8) == 0 ? pick(random, -31, 6) : pick(random, -2, 2);
    const auto input = naive::bytes(random, static_cast<std::size_t>(p.in_h * p.in_w * p.channels));
    naive::Output output(static_cast<std::size_t>(p.channels));
    mm_mean_s8(&p, input.data(), output.data());
    ASSERT_TRUE(output.guarded());
    // The definition: floor(log2(count)) more bits for the multiplier before it is divided by the count.
    const int count = p.in_h * p.in_w;
    int bits = static_cast<int>(std::floor(std::log2(count)));
    bits = std::min(bits, 31 + p.shift);
    const auto folded = static_cast<std::int32_t>(p.multiplier * (std::int64_t{1} << bits) / count);
    for (int channel = 0; channel < p.channels; ++channel) {
      std::int64_t sum = 0;
      for (int pixel = 0; pixel < count; ++pixel) {
        sum += input.at(static_cast<std::size_t>(pixel * p.channels + channel)) - p.input_zero_point;
      }
      ASSERT_EQ(output.values().at(static_cast<std::size_t>(channel)),
                naive::finish(sum, folded, p.shift - bits, p.output_zero_point, -128, 127))
          << "case " << i;
    }
  }
}

TEST(Mean, OfEqualScalesIsTheMeanWithinOneStep) {
  Random random(35);
  for (int i = 0; i < 300; ++i) {
    mm_mean_s8_params p{};
    p.in_h = pick(random, 1, 30);
    p.in_w = pick(random, 1, 30);
    p.channels = 1;
    p.input_zero_point = p.output_zero_point = pick(random, -128, 127);
    p.multiplier = 1 << 30;
    p.shift = 1;
    const auto input = naive::bytes(random, static_cast<std::size_t>(p.in_h * p.in_w));
    std::int8_t output = 0;
    mm_mean_s8(&p, input.data(), &output);
    double mean = 0;
    for (const auto x : input) mean += x;
    // Half a step, and up to a quarter more from the first of the two roundings.
    EXPECT_NEAR(output, mean / static_cast<double>(input.size()), 0.76);
  }
}

}  // namespace
}  // namespace micromind
