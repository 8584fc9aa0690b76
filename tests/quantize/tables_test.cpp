// Activation tables against floating point over every input byte and many scales, and against the kernels.
#include "micromind/quantize/tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/quantize/fixed_point.h"
#include "runtime/kernels/mul_s8.h"

namespace micromind {
namespace {

struct Quantization {
  float scale;
  int zero_point;
  double real(int x) const { return static_cast<double>(scale) * (x - zero_point); }
  double quantized(double real) const {
    return std::clamp(real / static_cast<double>(scale) + zero_point, -128.0, 127.0);
  }
};

/// The quantisation that a calibration of [low, high] gives.
Quantization range(double low, double high) {
  const double scale = (high - low) / 255;
  return {static_cast<float>(scale),
          static_cast<int>(std::clamp(std::round(-128 - low / scale), -128.0, 127.0))};
}

Quantization random_range(Random& random, float least, float most) {
  const double span = std::exp(random.uniform(std::log(least), std::log(most)));
  const double low = -span * random.uniform();
  return range(low, low + span);
}

template <class Function>
void expect_near(const Table& table, Quantization in, Quantization out, Function function, double steps) {
  for (int x = -128; x <= 127; ++x) {
    const double expected = out.quantized(function(in.real(x)));
    ASSERT_NEAR(table[table_index(static_cast<std::int8_t>(x))], expected, steps)
        << "x " << x << ", in " << in.scale << ' ' << in.zero_point << ", out " << out.scale << ' '
        << out.zero_point;
  }
}

double hard_swish(double x) {
  return x * std::clamp(x + 3, 0.0, 6.0) / 6;
}
double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

TEST(HardSwishTable, IsHardSwishWithinTwoSteps) {
  Random random(61);
  for (int i = 0; i < 500; ++i) {
    const auto in = random_range(random, 0.3f, 60.0f);
    // What calibration would find: the image of the input's range.
    double low = 0, high = 0;
    for (int x = -128; x <= 127; ++x) {
      low = std::min(low, hard_swish(in.real(x)));
      high = std::max(high, hard_swish(in.real(x)));
    }
    if (high - low < 1e-3) continue;
    const auto out = range(low, high);
    // TFLite's range of validity: the fine input scale is below the output's.
    if (in.scale / 128 >= out.scale) {
      EXPECT_THROW(hard_swish_table(in.scale, in.zero_point, out.scale, out.zero_point), Error);
      continue;
    }
    expect_near(hard_swish_table(in.scale, in.zero_point, out.scale, out.zero_point), in, out, hard_swish,
                2.0);
  }
}

TEST(HardSwishTable, RefusesAnOutputScaleFarBelowTheInput) {
  EXPECT_THROW(hard_swish_table(1.0f, 0, 0.001f, 0), Error);
}

TEST(LogisticTable, IsLogisticWithinOneStep) {
  Random random(62);
  const Quantization out = {1.0f / 256, -128};
  for (int i = 0; i < 500; ++i) {
    const auto in = random_range(random, 0.05f, 1000.0f);
    expect_near(logistic_table(in.scale, in.zero_point), in, out, logistic, 1.0);
  }
}

TEST(LogisticTable, IsDefinedForEveryScale) {
  for (const float scale : {1e-30f, 1e-9f, 1e-4f, 7.9f, 8.0f, 16.0f, 1e30f}) {
    const auto table = logistic_table(scale, 5);
    EXPECT_TRUE(std::is_sorted(table.begin(), table.end())) << scale;
  }
  EXPECT_EQ(logistic_table(1e-9f, 5)[0], 0);  // logistic(0) = 1/2 = byte 0
}

TEST(RequantizeTable, IsTheSameValueInAnotherScale) {
  Random random(63);
  const auto identity = [](double x) { return x; };
  for (int i = 0; i < 300; ++i) {
    const auto in = random_range(random, 0.1f, 50.0f), out = random_range(random, 0.1f, 50.0f);
    expect_near(requantize_table(in.scale, in.zero_point, out.scale, out.zero_point), in, out, identity,
                0.76);
  }
  const auto same = requantize_table(0.1f, 7, 0.1f, 7);
  for (int x = -128; x <= 127; ++x) EXPECT_EQ(same[static_cast<std::size_t>(x + 128)], x);
}

TEST(ReluTable, ClampsAtZeroAndSix) {
  Random random(64);
  const float open = std::numeric_limits<float>::infinity();
  for (int i = 0; i < 300; ++i) {
    const auto in = random_range(random, 1.0f, 50.0f);
    const auto six = range(0, 6), wide = range(0, 50);
    expect_near(
        relu_table(0, 6, in.scale, in.zero_point, six.scale, six.zero_point), in, six,
        [](double x) { return std::clamp(x, 0.0, 6.0); }, 1.0);
    expect_near(
        relu_table(0, open, in.scale, in.zero_point, wide.scale, wide.zero_point), in, wide,
        [](double x) { return std::max(x, 0.0); }, 1.0);
  }
  // Equal quantisation: a clamp of bytes, which is what TFLite Micro's RELU6 does.
  const auto clamp = relu_table(0, 6, 0.1f, -28, 0.1f, -28);
  for (int x = -128; x <= 127; ++x)
    EXPECT_EQ(clamp[static_cast<std::size_t>(x + 128)], std::clamp(x, -28, 32));
}

TEST(SiluTable, IsLogisticThenMulOfTheKernels) {
  Random random(65);
  for (int i = 0; i < 200; ++i) {
    const auto in = random_range(random, 0.5f, 30.0f);
    const auto out = range(-0.28, std::max(0.5, in.real(127)));
    // One step of the gate, 1/256, weighs as much as the input is large.
    const double gate_step = 1.0 / 256, largest = std::max(-in.real(-128), in.real(127));
    const auto table = silu_table(in.scale, in.zero_point, out.scale, out.zero_point);
    expect_near(
        table, in, out, [](double x) { return x * logistic(x); }, 1 + gate_step * largest / out.scale);
    const auto gate = logistic_table(in.scale, in.zero_point);
    const auto factor = quantize_multiplier(mul_factor(in.scale, 1.0f / 256, out.scale));
    Table input, product;
    for (int x = -128; x <= 127; ++x) input[static_cast<std::size_t>(x + 128)] = static_cast<std::int8_t>(x);
    const mm_mul_s8_params p = {
        1,    1,  256, 0, 0, 1, 0, 0, 1, -in.zero_point, 128, out.zero_point, factor.multiplier, factor.shift,
        -128, 127};
    mm_mul_s8(&p, input.data(), gate.data(), product.data());
    ASSERT_EQ(table, product);
  }
}

TEST(HardSigmoidTable, IsHardSigmoid) {
  Random random(66);
  const Quantization out = {1.0f / 255, -128};
  for (int i = 0; i < 200; ++i) {
    const auto in = random_range(random, 0.5f, 30.0f);
    expect_near(
        hard_sigmoid_table(in.scale, in.zero_point, out.scale, out.zero_point), in, out,
        [](double x) { return std::clamp(x / 6 + 0.5, 0.0, 1.0); }, 0.501);
  }
}

TEST(Compose, AppliesTheSecondToTheFirst) {
  Table negate, half;
  for (int x = -128; x <= 127; ++x) {
    negate[static_cast<std::size_t>(x + 128)] = static_cast<std::int8_t>(std::min(-x, 127));
    half[static_cast<std::size_t>(x + 128)] = static_cast<std::int8_t>(x / 2);
  }
  EXPECT_EQ(compose(negate, half)[table_index(100)], -50);
  EXPECT_EQ(compose(negate, half)[table_index(-128)], 63);
}

TEST(Tables, RefuseBadQuantisation) {
  const float open = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0f, -0.1f, open, std::nanf("")}) {
    EXPECT_THROW(hard_swish_table(bad, 0, 1, 0), Error);
    EXPECT_THROW(hard_swish_table(1, 0, bad, 0), Error);
    EXPECT_THROW(logistic_table(bad, 0), Error);
    EXPECT_THROW(requantize_table(1, 0, bad, 0), Error);
    EXPECT_THROW(relu_table(0, 6, bad, 0, 1, 0), Error);
    EXPECT_THROW(silu_table(1, 0, bad, 0), Error);
    EXPECT_THROW(hard_sigmoid_table(bad, 0, 1, 0), Error);
  }
  EXPECT_THROW(logistic_table(1, 128), Error);
  EXPECT_THROW(requantize_table(1, 0, 1, -129), Error);
}

}  // namespace
}  // namespace micromind
