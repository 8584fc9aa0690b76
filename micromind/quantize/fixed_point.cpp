#include "micromind/quantize/fixed_point.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "micromind/base/error.h"

namespace micromind {
namespace {

void check_scale(const char* where, float scale) {
  if (!std::isfinite(scale) || scale <= 0) fail(where, "expected a positive, finite scale, found {}", scale);
}

// TFLite QuantizeMultiplierSmallerThanOneExp.
FixedPointFactor below_one(const char* where, double real) {
  if (!(real > 0 && real < 1)) {
    fail_with_hint(where, "the output's scale is far too small for its inputs; calibrate it again",
                   "expected a factor between 0 and 1, found {}", real);
  }
  const FixedPointFactor factor = quantize_multiplier(real);
  if (factor.shift > 0) fail(where, "the factor {} rounds to 1", real);
  return factor;
}

}  // namespace

void quantize_multiplier(double real, std::int32_t* multiplier, int* shift) {
  if (!std::isfinite(real) || real < 0) {
    fail("quantize", "expected a factor that is finite and not negative, found {}", real);
  }
  *multiplier = 0;
  *shift = 0;
  if (real == 0) return;
  int exponent = 0;
  const double fraction = std::frexp(real, &exponent);  // in [1/2, 1)
  auto fixed = static_cast<std::int64_t>(std::round(fraction * static_cast<double>(std::int64_t{1} << 31)));
  if (fixed == std::int64_t{1} << 31) {
    fixed /= 2;
    ++exponent;
  }
  if (exponent < -31) return;  // flushed to zero
  if (exponent > 31) fail("quantize", "expected a factor below 2^31, found {}", real);
  *multiplier = static_cast<std::int32_t>(fixed);
  *shift = exponent;
}

FixedPointFactor quantize_multiplier(double real) {
  FixedPointFactor factor;
  quantize_multiplier(real, &factor.multiplier, &factor.shift);
  return factor;
}

double conv2d_factor(float input_scale, float weight_scale, float output_scale) {
  check_scale("conv2d", input_scale);
  check_scale("conv2d", weight_scale);
  check_scale("conv2d", output_scale);
  return static_cast<double>(input_scale) * static_cast<double>(weight_scale) /
         static_cast<double>(output_scale);
}

double linear_factor(float input_scale, float weight_scale, float output_scale) {
  check_scale("linear", input_scale);
  check_scale("linear", weight_scale);
  check_scale("linear", output_scale);
  const float product = input_scale * weight_scale;
  return static_cast<double>(product) / static_cast<double>(output_scale);
}

double mul_factor(float input1_scale, float input2_scale, float output_scale) {
  check_scale("mul", input1_scale);
  check_scale("mul", input2_scale);
  check_scale("mul", output_scale);
  return static_cast<double>(input1_scale) * static_cast<double>(input2_scale) /
         static_cast<double>(output_scale);
}

double rescale_factor(float input_scale, float output_scale) {
  check_scale("rescale", input_scale);
  check_scale("rescale", output_scale);
  return static_cast<double>(input_scale) / static_cast<double>(output_scale);
}

AddFactors add_factors(float input1_scale, float input2_scale, float output_scale) {
  check_scale("add", input1_scale);
  check_scale("add", input2_scale);
  check_scale("add", output_scale);
  AddFactors factors;
  const double twice_max = 2 * static_cast<double>(std::max(input1_scale, input2_scale));
  factors.input1 = below_one("add", static_cast<double>(input1_scale) / twice_max);
  factors.input2 = below_one("add", static_cast<double>(input2_scale) / twice_max);
  factors.output =
      below_one("add", twice_max / ((1 << factors.left_shift) * static_cast<double>(output_scale)));
  return factors;
}

int input_radius(int integer_bits, int input_left_shift, int total_signed_bits) {
  const double largest = 1.0 * ((1 << integer_bits) - 1) *
                         static_cast<double>(std::int64_t{1} << (total_signed_bits - integer_bits)) /
                         static_cast<double>(std::int64_t{1} << input_left_shift);
  return static_cast<int>(std::floor(largest));
}

SoftmaxFactors softmax_factors(float input_scale, float beta) {
  constexpr int kIntegerBits = 5;
  check_scale("softmax", input_scale);
  check_scale("softmax", beta);
  const double largest = static_cast<double>((std::int64_t{1} << 31)) - 1.0;
  const double real = std::min(
      static_cast<double>(beta) * static_cast<double>(input_scale) * (1 << (31 - kIntegerBits)), largest);
  if (real <= 1) {
    fail_with_hint("softmax", "calibrate the input of the softmax with data",
                   "expected an input scale above 2^-26, found {}", input_scale);
  }
  const FixedPointFactor factor = quantize_multiplier(real);
  return {factor.multiplier, factor.shift, -input_radius(kIntegerBits, factor.shift)};
}

ActivationRange activation_range(float low, float high, float output_scale, int output_zero_point) {
  check_quantization("activation", output_scale, output_zero_point);
  if (std::isnan(low) || std::isnan(high) || low > high) {
    fail("activation", "expected limits in order, found {} and {}", low, high);
  }
  // Rounded as floats (TFLite), then clamped before the conversion so that a far limit cannot overflow.
  const auto quantize = [&](float limit) {
    const float rounded = std::clamp(std::round(limit / output_scale), -1e6f, 1e6f);
    return std::clamp(output_zero_point + static_cast<std::int32_t>(rounded), -128, 127);
  };
  ActivationRange range;
  if (std::isfinite(low)) range.min = quantize(low);
  if (std::isfinite(high)) range.max = quantize(high);
  return range;
}

void check_quantization(const char* where, float scale, int zero_point) {
  check_scale(where, scale);
  if (zero_point < -128 || zero_point > 127) {
    fail(where, "expected a zero point in -128…127, found {}", zero_point);
  }
}

}  // namespace micromind
