#include "micromind/quantize/tables.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/quantize/fixed_point.h"
#include "runtime/kernels/common.h"
#include "runtime/kernels/fixed_point.h"

namespace micromind {
namespace {

template <class Function>
Table make_table(Function function) {
  Table table;
  for (int x = -128; x <= 127; ++x) {
    table[static_cast<std::size_t>(x + 128)] =
        static_cast<std::int8_t>(std::clamp<int>(function(x), -128, 127));
  }
  return table;
}

// --- 16-bit fixed point of HARD_SWISH ----------------------------------------------------------------------

constexpr int kMin16 = std::numeric_limits<std::int16_t>::min();
constexpr int kMax16 = std::numeric_limits<std::int16_t>::max();

// a * b / 2^15 to nearest, ties towards plus infinity (as mm_doubling_high_multiply, on 16 bits).
int rounding_high_multiply16(int a, int b) {
  if (a == kMin16 && b == kMin16) return kMax16;
  return (a * b + (1 << 14)) >> 15;
}

// a * b / 2^15 towards zero.
int truncating_high_multiply16(int a, int b) {
  if (a == kMin16 && b == kMin16) return kMax16;
  return a * b / (1 << 15);
}

int saturating_shift_left16(int value, int bits) {
  return static_cast<int>(
      std::clamp<std::int64_t>(static_cast<std::int64_t>(value) * (std::int64_t{1} << bits), kMin16, kMax16));
}

struct Factor16 {
  int multiplier;  // Q15
  int exponent;
};

// The upper half of the 32-bit multiplier, rounded, saturated (TFLite DownScaleInt32ToInt16Multiplier).
Factor16 quantize_multiplier16(double real) {
  const FixedPointFactor factor = quantize_multiplier(real);
  constexpr std::int32_t half = 1 << 15;
  if (factor.multiplier >= std::numeric_limits<std::int32_t>::max() - half) return {kMax16, factor.shift};
  return {(factor.multiplier + half) >> 16, factor.shift};
}

// The input on a scale where 3.0 is 2^15, saturated: where relu6(x + 3) / 6 is (value + 2^15) / 2^16.
int reluish_value(int high_resolution_input, const Factor16& factor) {
  int value = high_resolution_input;
  if (factor.exponent > 0) value = saturating_shift_left16(value, factor.exponent - 1);
  value = rounding_high_multiply16(value, factor.multiplier);
  if (factor.exponent > 0) value = saturating_shift_left16(value, 1);
  if (factor.exponent < 0) value = mm_rounding_shift_right(value, -factor.exponent);
  return value;
}

}  // namespace

Table hard_swish_table(float in_scale, int in_zp, float out_scale, int out_zp) {
  check_quantization("hard_swish", in_scale, in_zp);
  check_quantization("hard_swish", out_scale, out_zp);
  // Floats as in TFLite's preparation: the input has 7 fractional bits more than its bytes.
  const float fine_scale = (1.0f / 128.0f) * in_scale;
  const Factor16 output = quantize_multiplier16(static_cast<double>(fine_scale / out_scale));
  const Factor16 reluish = quantize_multiplier16(static_cast<double>(fine_scale / (3.0f / 32768.0f)));
  if (output.exponent > 0) {
    fail_with_hint("hard_swish", "calibrate the output's range again",
                   "input scale {} is more than 128 times output scale {}", in_scale, out_scale);
  }
  return make_table([&](int x) {
    const int fine = (x - in_zp) * 128;
    const int identity = rounding_high_multiply16(fine, output.multiplier);
    const int gate = (reluish_value(fine, reluish) + (1 << 15)) >> 1;  // relu6(x + 3) / 6 in Q15
    const int product = truncating_high_multiply16(gate, identity);
    // TFLite adds the zero point in 16 bits.
    return static_cast<int>(
        static_cast<std::int16_t>(mm_rounding_shift_right(product, -output.exponent) + out_zp));
  });
}

Table logistic_table(float in_scale, int in_zp) {
  check_quantization("logistic", in_scale, in_zp);
  constexpr int kIntegerBits = 4;
  // From 16 on, TFLite's radius is 0 (every byte saturates) and the factor leaves 32 bits unused.
  const bool saturates = in_scale >= 16.0f;
  const FixedPointFactor factor =
      quantize_multiplier(saturates ? 1.0 : static_cast<double>(in_scale) * (1 << (31 - kIntegerBits)));
  // A tiny scale has a right shift and a radius that no byte reaches.
  const int radius = saturates ? 0 : factor.shift < 0 ? 256 : input_radius(kIntegerBits, factor.shift);
  return make_table([&](int x) {
    const int centred = x - in_zp;
    if (centred <= -radius) return -128;
    if (centred >= radius) return 127;
    const std::int32_t input = mm_requantize(centred, factor.multiplier, factor.shift);
    return mm_rounding_shift_right(mm_logistic(input, kIntegerBits), 31 - 8) - 128;
  });
}

Table requantize_table(float in_scale, int in_zp, float out_scale, int out_zp) {
  check_quantization("requantize", in_scale, in_zp);
  check_quantization("requantize", out_scale, out_zp);
  const FixedPointFactor factor = quantize_multiplier(rescale_factor(in_scale, out_scale));
  return make_table([&](int x) -> int {
    return mm_requantize_s8(x - in_zp, factor.multiplier, factor.shift, out_zp, -128, 127);
  });
}

Table relu_table(float min, float max, float in_scale, int in_zp, float out_scale, int out_zp) {
  check_quantization("relu", in_scale, in_zp);
  const ActivationRange range = activation_range(min, max, out_scale, out_zp);
  const FixedPointFactor factor = quantize_multiplier(rescale_factor(in_scale, out_scale));
  return make_table([&](int x) -> int {
    return mm_requantize_s8(x - in_zp, factor.multiplier, factor.shift, out_zp, range.min, range.max);
  });
}

Table multiply_table(const Table& f, float f_scale, int f_zp, float in_scale, int in_zp, float out_scale,
                     int out_zp) {
  check_quantization("multiply", f_scale, f_zp);
  check_quantization("multiply", in_scale, in_zp);
  check_quantization("multiply", out_scale, out_zp);
  const FixedPointFactor factor = quantize_multiplier(mul_factor(in_scale, f_scale, out_scale));
  return make_table([&](int x) -> int {
    const int product = (x - in_zp) * (f[static_cast<std::size_t>(x + 128)] - f_zp);
    return mm_requantize_s8(product, factor.multiplier, factor.shift, out_zp, -128, 127);
  });
}

Table silu_table(float in_scale, int in_zp, float out_scale, int out_zp) {
  return multiply_table(logistic_table(in_scale, in_zp), 1.0f / 256.0f, -128, in_scale, in_zp, out_scale,
                        out_zp);
}

Table hard_sigmoid_table(float in_scale, int in_zp, float out_scale, int out_zp) {
  check_quantization("hard_sigmoid", in_scale, in_zp);
  check_quantization("hard_sigmoid", out_scale, out_zp);
  return make_table([&](int x) {
    const double real = static_cast<double>(in_scale) * (x - in_zp);
    const double gate = std::clamp(real / 6 + 0.5, 0.0, 1.0);
    return static_cast<int>(std::min(std::round(gate / static_cast<double>(out_scale)), 1e6)) + out_zp;
  });
}

Table compose(const Table& first, const Table& second) {
  return make_table(
      [&](int x) -> int { return second[table_index(first[static_cast<std::size_t>(x + 128)])]; });
}

}  // namespace micromind
