// From real scales to the integers that the kernels multiply by (runtime/kernels/common.h).
//
// real = multiplier * 2^(shift - 31), multiplier in [2^30, 2^31) or 0, a positive shift to the left. Every
// function repeats the order and the precision (float or double) in which TensorFlow Lite (Micro) computes
// the factor when it prepares the operator, because a different last bit of a multiplier is a different byte
// some day.
//
// All throw Error when a scale is not positive and finite, or a factor does not fit the operator.
#pragma once

#include <cstdint>

namespace micromind {

/// `real` ≥ 0 to 31 bits, ties away from zero. Below about 2^-32 it is flushed to 0, as in TFLite
/// QuantizeMultiplier. Throws Error when `real` is negative, not finite or 2^31 and above.
void quantize_multiplier(double real, std::int32_t* multiplier, int* shift);

/// The same by value.
struct FixedPointFactor {
  std::int32_t multiplier = 0;
  int shift = 0;
};
FixedPointFactor quantize_multiplier(double real);

/// CONV_2D and DEPTHWISE_CONV_2D, one channel; FULLY_CONNECTED with scales per channel.
/// double(input) * double(weight) / double(output).
double conv2d_factor(float input_scale, float weight_scale, float output_scale);

/// FULLY_CONNECTED with one weight scale: TFLite multiplies input and weight scale as floats.
double linear_factor(float input_scale, float weight_scale, float output_scale);

/// MUL: double(input1) * double(input2) / double(output).
double mul_factor(float input1_scale, float input2_scale, float output_scale);

/// QUANTIZE (int8 to int8), RELU, RELU6 and MEAN: double(input) / double(output).
double rescale_factor(float input_scale, float output_scale);

/// ADD: both inputs to twice the larger scale, then to the output's, with 20 bits of head room.
struct AddFactors {
  std::int32_t left_shift = 20;
  FixedPointFactor input1, input2, output;
};
AddFactors add_factors(float input1_scale, float input2_scale, float output_scale);

/// SOFTMAX: what mm_softmax_s8_params takes. `diff_min` is negative or 0.
struct SoftmaxFactors {
  std::int32_t input_multiplier = 0;
  std::int32_t input_left_shift = 0;
  std::int32_t diff_min = 0;
};
SoftmaxFactors softmax_factors(float input_scale, float beta = 1.0f);

/// The largest input magnitude that, shifted left by `input_left_shift`, stays in `integer_bits` of
/// `total_signed_bits` (31). TFLite CalculateInputRadius.
int input_radius(int integer_bits, int input_left_shift, int total_signed_bits = 31);

/// A fused activation as int8 limits of the output. `low` and `high` are real values; infinities leave the
/// side open (none: -inf, inf; relu: 0, inf; relu6: 0, 6; TFLite's relu_n1_to_1: -1, 1).
struct ActivationRange {
  std::int32_t min = -128;
  std::int32_t max = 127;
};
ActivationRange activation_range(float low, float high, float output_scale, int output_zero_point);

/// Throws Error naming `where` unless the scale is positive and finite and the zero point in -128…127.
void check_quantization(const char* where, float scale, int zero_point);

}  // namespace micromind
