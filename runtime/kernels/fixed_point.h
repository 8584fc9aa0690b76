/* Exponential and reciprocal in fixed point, as gemmlowp computes them: the basis of SOFTMAX and LOGISTIC.
 *
 * Qm is a 32-bit number with m integer bits and 31 - m fractional bits beside the sign.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_FIXED_POINT_H
#define MICROMIND_RUNTIME_KERNELS_FIXED_POINT_H

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* value * 2^exponent, saturated; exponent in 1…30. gemmlowp SaturatingRoundingMultiplyByPOT. */
static inline int32_t mm_saturating_shift_left(int32_t value, int exponent) {
  const int32_t limit = (int32_t)((UINT32_C(1) << (31 - exponent)) - 1u);
  if (value > limit) return INT32_MAX;
  if (value < -limit) return INT32_MIN;
  return mm_shift_left(value, exponent);
}

/* exp(x) in Q0 for x in [-1/4, 0) in Q0: the Taylor series of fourth order around -1/8. */
static inline int32_t mm_exp_near_zero(int32_t x) {
  const int32_t exp_of_minus_eighth = 1895147668;
  const int32_t one_third = 715827883;
  const int32_t t = mm_wrapping_add(x, INT32_C(1) << 28);
  const int32_t t2 = mm_doubling_high_multiply(t, t);
  const int32_t t3 = mm_doubling_high_multiply(t2, t);
  const int32_t t4 = mm_doubling_high_multiply(t2, t2);
  const int32_t cubic = mm_doubling_high_multiply(mm_rounding_shift_right(t4, 2) + t3, one_third);
  const int32_t series = mm_rounding_shift_right(cubic + t2, 1); /* t^2/2 + t^3/6 + t^4/24 */
  return exp_of_minus_eighth + mm_doubling_high_multiply(exp_of_minus_eighth, t + series);
}

/* exp(x) in Q0 for x ≤ 0 in Q(integer_bits), integer_bits in 1…5. What exceeds a multiple of 1/4 goes through
 * the series, the rest through a product for each bit of it. */
static inline int32_t mm_exp_on_negative_values(int32_t x, int integer_bits) {
  static const int32_t factors[7] = {/* exp(-2^k) in Q0, k = -2…4 */
                                     1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  const int fractional_bits = 31 - integer_bits;
  const int32_t quarter = INT32_C(1) << (fractional_bits - 2);
  const int32_t fine = (x & (quarter - 1)) - quarter;
  const int32_t coarse = mm_wrapping_add(fine, (int32_t)(0u - (uint32_t)x));
  int32_t result = mm_exp_near_zero(mm_saturating_shift_left(fine, integer_bits));
  if (x == 0) return INT32_MAX;
  for (int k = -2; k < integer_bits; ++k) {
    if ((uint32_t)coarse & (UINT32_C(1) << (fractional_bits + k))) {
      result = mm_doubling_high_multiply(result, factors[k + 2]);
    }
  }
  return result;
}

/* 1 / (1 + x) in Q0 for x in [0, 1) in Q0: three Newton-Raphson steps in Q2 from 48/17 - 32/17 d, d = (1 + x)
 * / 2. */
static inline int32_t mm_one_over_one_plus(int32_t x) {
  const int32_t c48_over_17 = 1515870810;
  const int32_t minus_32_over_17 = -1010580540;
  const int32_t one = INT32_C(1) << 29;
  const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
  int32_t y = c48_over_17 + mm_doubling_high_multiply(half_denominator, minus_32_over_17);
  for (int step = 0; step < 3; ++step) {
    const int32_t error = one - mm_doubling_high_multiply(half_denominator, y);
    y = mm_wrapping_add(y, mm_saturating_shift_left(mm_doubling_high_multiply(y, error), 2));
  }
  return mm_saturating_shift_left(y, 1);
}

/* 1 / (1 + exp(-x)) in Q0 for x in Q(integer_bits). */
static inline int32_t mm_logistic(int32_t x, int integer_bits) {
  int32_t positive;
  if (x == 0) return INT32_C(1) << 30;
  positive = mm_one_over_one_plus(mm_exp_on_negative_values(x > 0 ? -x : x, integer_bits));
  return x > 0 ? positive : INT32_MAX - positive;
}

#ifdef __cplusplus
}
#endif

#endif
