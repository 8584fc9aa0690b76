// Softmax and the fixed-point functions beneath it, against floating point over the whole range.
#include <gtest/gtest.h>

#include <cmath>

#include "micromind/quantize/fixed_point.h"
#include "runtime/kernels/fixed_point.h"
#include "runtime/kernels/softmax_s8.h"
#include "tests/runtime/naive.h"

namespace micromind {
namespace {

constexpr double kQ31 = 2147483648.0;

TEST(FixedPoint, ExpIsExp) {
  for (const int bits : {4, 5}) {
    const double unit = std::pow(2.0, 31 - bits);
    for (std::int64_t x = 0; x < std::int64_t{1} << 31; x += 104729) {
      const auto value = static_cast<std::int32_t>(-x);
      ASSERT_NEAR(mm_exp_on_negative_values(value, bits) / kQ31, std::exp(value / unit), 1e-6) << value;
    }
    for (std::int32_t x = -5; x <= 0; ++x) {
      ASSERT_NEAR(mm_exp_on_negative_values(x, bits) / kQ31, 1.0, 1e-6) << x;
    }
  }
  EXPECT_EQ(mm_exp_on_negative_values(0, 5), INT32_MAX);
  mm_exp_on_negative_values(INT32_MIN, 5);  // must be defined
}

TEST(FixedPoint, ReciprocalIsReciprocal) {
  for (std::int64_t x = 0; x < std::int64_t{1} << 31; x += 104729) {
    const auto value = static_cast<std::int32_t>(x);
    ASSERT_NEAR(mm_one_over_one_plus(value) / kQ31, 1 / (1 + x / kQ31), 1e-7) << x;
  }
  EXPECT_NEAR(mm_one_over_one_plus(0) / kQ31, 1.0, 1e-8);
  EXPECT_NEAR(mm_one_over_one_plus(INT32_MAX) / kQ31, 0.5, 1e-8);
}

TEST(FixedPoint, LogisticIsLogistic) {
  for (std::int64_t x = INT32_MIN + 1; x <= INT32_MAX; x += 208799) {
    const auto value = static_cast<std::int32_t>(x);
    ASSERT_NEAR(mm_logistic(value, 4) / kQ31, 1 / (1 + std::exp(-value / std::pow(2.0, 27))), 1e-6) << x;
  }
  EXPECT_EQ(mm_logistic(0, 4), 1 << 30);
}

TEST(FixedPoint, SaturatingShiftSaturates) {
  EXPECT_EQ(mm_saturating_shift_left(3, 4), 48);
  EXPECT_EQ(mm_saturating_shift_left(-3, 4), -48);
  EXPECT_EQ(mm_saturating_shift_left(1 << 28, 3), INT32_MAX);
  EXPECT_EQ(mm_saturating_shift_left(-(1 << 29), 3), INT32_MIN);
}

mm_softmax_s8_params params(float scale, int outer, int depth) {
  const SoftmaxFactors f = softmax_factors(scale);
  return {outer, depth, f.input_multiplier, f.input_left_shift, f.diff_min};
}

std::vector<double> real_softmax(const std::int8_t* input, int depth, double scale) {
  std::vector<double> result;
  double sum = 0;
  const int largest = *std::max_element(input, input + depth);
  for (int i = 0; i < depth; ++i) sum += result.emplace_back(std::exp(scale * (input[i] - largest)));
  for (auto& x : result) x /= sum;
  return result;
}

TEST(Softmax, IsSoftmaxWithinOneStepAlsoInPlace) {
  Random random(51);
  for (int i = 0; i < 800; ++i) {
    const int outer = naive::pick(random, 1, 3), depth = naive::pick(random, 1, 60);
    const float scale = std::exp(random.uniform(std::log(1e-4f), std::log(20.0f)));
    const auto p = params(scale, outer, depth);
    auto input = naive::bytes(random, static_cast<std::size_t>(outer * depth));
    naive::Output output(input.size());
    mm_softmax_s8(&p, input.data(), output.data());
    ASSERT_TRUE(output.guarded());
    for (int row = 0; row < outer; ++row) {
      const auto expected = real_softmax(input.data() + row * depth, depth, scale);
      for (int k = 0; k < depth; ++k) {
        ASSERT_NEAR(output.data()[row * depth + k],
                    std::min(expected[static_cast<std::size_t>(k)] * 256 - 128, 127.0), 1.01)
            << "case " << i << ", scale " << scale;
      }
    }
    mm_softmax_s8(&p, input.data(), input.data());
    ASSERT_EQ(input, output.values()) << "case " << i;
  }
}

TEST(Softmax, EveryDifferenceOfTwoClassesIsWithinOneStep) {
  for (const float scale : {0.001f, 0.02f, 0.0625f, 0.11f, 0.5f, 3.0f}) {
    const auto p = params(scale, 1, 2);
    for (int a = -128; a < 128; ++a) {
      const std::int8_t input[2] = {static_cast<std::int8_t>(a), 127};
      std::int8_t output[2];
      mm_softmax_s8(&p, input, output);
      const auto expected = real_softmax(input, 2, scale);
      for (int k = 0; k < 2; ++k)
        ASSERT_NEAR(output[k], std::min(expected[static_cast<std::size_t>(k)] * 256 - 128, 127.0), 1.01);
    }
  }
}

TEST(Softmax, OfManyEqualClassesIsDefined) {  // TFLite stops at sums of 512; ours go to 0
  const std::vector<std::int8_t> input(4095, 17);
  std::vector<std::int8_t> output(input.size());
  const auto p = params(0.1f, 1, 4095);
  mm_softmax_s8(&p, input.data(), output.data());
  for (const auto x : output) ASSERT_EQ(x, -128);
}

}  // namespace
}  // namespace micromind
