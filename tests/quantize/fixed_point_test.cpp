// Multipliers: known answers, the quirks of TFLite, and what must be refused.
#include "micromind/quantize/fixed_point.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/base/random.h"

namespace micromind {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr float kOpen = std::numeric_limits<float>::infinity();

void expect_factor(double real, std::int32_t multiplier, int shift) {
  const auto factor = quantize_multiplier(real);
  EXPECT_EQ(factor.multiplier, multiplier) << real;
  EXPECT_EQ(factor.shift, shift) << real;
}

TEST(QuantizeMultiplier, KnownAnswers) {
  expect_factor(0, 0, 0);
  expect_factor(0.5, 1 << 30, 0);
  expect_factor(1.0, 1 << 30, 1);
  expect_factor(0.25, 1 << 30, -1);
  expect_factor(3.0, 3 << 29, 2);
  expect_factor(0.75, 3 << 29, 0);
  expect_factor(1.0 / 3, 1431655765, -1);
  expect_factor(1000.0, 2097152000, 10);
}

TEST(QuantizeMultiplier, CarriesAFractionThatRoundsToOne) {
  expect_factor(1.0 - std::ldexp(1.0, -40), 1 << 30, 1);
  expect_factor(1.0 - std::ldexp(1.0, -31), 2147483647, 0);
  // Exactly between 2^31 - 1 and 2^31: away from zero.
  expect_factor(1.0 - std::ldexp(1.0, -32), 1 << 30, 1);
}

TEST(QuantizeMultiplier, FlushesTheTiniestToZero) {
  expect_factor(std::ldexp(1.0, -32), 1 << 30, -31);
  expect_factor(std::ldexp(0.99, -32), 0, 0);
  expect_factor(1e-300, 0, 0);
}

TEST(QuantizeMultiplier, KeepsThirtyOneBits) {
  Random random(1);
  for (int i = 0; i < 10000; ++i) {
    const double real = std::ldexp(0.5 + random.uniform() / 2, static_cast<int>(random.below(40)) - 25);
    const auto factor = quantize_multiplier(real);
    ASSERT_GE(factor.multiplier, 1 << 30);
    ASSERT_NEAR(std::ldexp(factor.multiplier, factor.shift - 31) / real, 1.0, 1e-9);
  }
}

TEST(QuantizeMultiplier, RefusesWhatHasNoFactor) {
  for (const double bad : {-1.0, -1e-9, kInfinity, std::nan(""), std::ldexp(1.0, 31), 1e300}) {
    EXPECT_THROW(quantize_multiplier(bad), Error) << bad;
  }
  EXPECT_NO_THROW(quantize_multiplier(std::ldexp(1.0, 31) - 1));
}

TEST(Factors, LinearMultipliesScalesAsFloats) {
  // Two scales whose product is not a float: the factors of convolution and linear layer differ.
  const float a = 0.1f, b = 0.3f, c = 0.7f;
  EXPECT_EQ(conv2d_factor(a, b, c), static_cast<double>(a) * static_cast<double>(b) / static_cast<double>(c));
  EXPECT_EQ(linear_factor(a, b, c), static_cast<double>(a * b) / static_cast<double>(c));
  EXPECT_NE(conv2d_factor(a, b, c), linear_factor(a, b, c));
  EXPECT_EQ(mul_factor(a, b, c), conv2d_factor(a, b, c));
  EXPECT_EQ(rescale_factor(a, b), static_cast<double>(a) / static_cast<double>(b));
}

TEST(Factors, RefuseBadScales) {
  for (const float bad : {0.0f, -1.0f, kOpen, std::nanf("")}) {
    EXPECT_THROW(conv2d_factor(bad, 1, 1), Error);
    EXPECT_THROW(conv2d_factor(1, bad, 1), Error);
    EXPECT_THROW(linear_factor(1, 1, bad), Error);
    EXPECT_THROW(mul_factor(1, bad, 1), Error);
    EXPECT_THROW(rescale_factor(bad, 1), Error);
    EXPECT_THROW(add_factors(1, bad, 1), Error);
    EXPECT_THROW(softmax_factors(bad), Error);
    EXPECT_THROW(activation_range(0, 6, bad, 0), Error);
  }
  EXPECT_THROW(activation_range(0, 6, 1, 128), Error);
  EXPECT_THROW(activation_range(0, 6, 1, -129), Error);
  EXPECT_THROW(activation_range(6, 0, 1, 0), Error);
  EXPECT_THROW(add_factors(1.0f, 1.0f, 1e-7f), Error);  // output factor above 1
  EXPECT_THROW(softmax_factors(1e-9f), Error);
}

TEST(AddFactors, BringBothToTwiceTheLargerScale) {
  const auto f = add_factors(0.5f, 0.25f, 1.0f);
  EXPECT_EQ(f.left_shift, 20);
  EXPECT_EQ(f.input1.multiplier, 1 << 30);  // 1/2
  EXPECT_EQ(f.input1.shift, 0);
  EXPECT_EQ(f.input2.multiplier, 1 << 30);  // 1/4
  EXPECT_EQ(f.input2.shift, -1);
  EXPECT_EQ(f.output.multiplier, 1 << 30);  // 2^-20
  EXPECT_EQ(f.output.shift, -19);
}

TEST(SoftmaxFactors, KnownAnswers) {
  // Scale 1/16: 2^22, so multiplier 2^30 with shift 23; radius floor(31 * 2^26 / 2^23) = 248.
  const auto f = softmax_factors(0.0625f);
  EXPECT_EQ(f.input_multiplier, 1 << 30);
  EXPECT_EQ(f.input_left_shift, 23);
  EXPECT_EQ(f.diff_min, -248);
  // A scale of 40 is capped at 2^31 - 1: only the largest input counts.
  const auto capped = softmax_factors(40.0f);
  EXPECT_EQ(capped.input_multiplier, 2147483647);
  EXPECT_EQ(capped.input_left_shift, 31);
  EXPECT_EQ(capped.diff_min, 0);
}

TEST(ActivationRange, QuantisesTheLimits) {
  auto r = activation_range(-kOpen, kOpen, 0.1f, 3);
  EXPECT_EQ(r.min, -128);
  EXPECT_EQ(r.max, 127);
  r = activation_range(0, kOpen, 0.1f, 3);
  EXPECT_EQ(r.min, 3);
  EXPECT_EQ(r.max, 127);
  r = activation_range(0, 6, 0.1f, 3);
  EXPECT_EQ(r.min, 3);
  EXPECT_EQ(r.max, 63);
  r = activation_range(-1, 1, 0.1f, -128);
  EXPECT_EQ(r.min, -128);
  EXPECT_EQ(r.max, -118);
  r = activation_range(0, 6, 1e-30f, 0);  // far beyond the bytes
  EXPECT_EQ(r.max, 127);
}

}  // namespace
}  // namespace micromind
