/* Softmax over the last axis, int8: TFLite SOFTMAX with an int8 output of scale 1/256, zero point -128.
 *
 *   input and output [outer][depth]
 *
 * input_multiplier, input_left_shift bring a difference of inputs times beta to Q5; differences below
 * diff_min (negative) count as exp = 0. The sum of exponentials is kept in Q12, so depth ≤ 4095 (TFLite
 * itself stops at sums of 512). The output may be the input.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_SOFTMAX_S8_H
#define MICROMIND_RUNTIME_KERNELS_SOFTMAX_S8_H

#include "common.h"
#include "fixed_point.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t outer, depth;
  int32_t input_multiplier; /* beta * scale * 2^26 = multiplier * 2^(left_shift - 31) */
  int32_t input_left_shift; /* 0…31 */
  int32_t diff_min;         /* -floor(31 * 2^26 / 2^left_shift) */
} mm_softmax_s8_params;

enum { MM_SOFTMAX_DIFFERENCE_BITS = 5, MM_SOFTMAX_SUM_BITS = 12 };

/* exp(scale * difference) in Q0 for diff_min ≤ difference ≤ 0. */
static inline int32_t mm_softmax_s8_exp(const mm_softmax_s8_params* p, int32_t difference) {
  const int32_t scaled =
      mm_doubling_high_multiply(mm_shift_left(difference, p->input_left_shift), p->input_multiplier);
  return mm_exp_on_negative_values(scaled, MM_SOFTMAX_DIFFERENCE_BITS);
}

static inline void mm_softmax_s8(const mm_softmax_s8_params* p, const int8_t* input, int8_t* output) {
  for (int32_t row = 0; row < p->outer; ++row) {
    int32_t largest = -128, sum = 0;
    int32_t reciprocal, exponent;
    int headroom;
    for (int32_t i = 0; i < p->depth; ++i) largest = mm_max(largest, input[i]);
    for (int32_t i = 0; i < p->depth; ++i) {
      const int32_t difference = input[i] - largest;
      if (difference >= p->diff_min)
        sum += mm_rounding_shift_right(mm_softmax_s8_exp(p, difference), MM_SOFTMAX_SUM_BITS);
    }
    /* sum = 2^bits * (1 + fraction); the reciprocal of 1 + fraction, then a shift by bits */
    headroom = mm_leading_zeros((uint32_t)sum);
    reciprocal = mm_one_over_one_plus((int32_t)(((uint32_t)sum << headroom) - UINT32_C(0x80000000)));
    exponent = MM_SOFTMAX_SUM_BITS - headroom + 31 - 8;
    for (int32_t i = 0; i < p->depth; ++i) {
      const int32_t difference = input[i] - largest;
      int32_t result = 0;
      if (difference >= p->diff_min && exponent <= 31) { /* a shift by more gives 0 */
        result = mm_rounding_shift_right(
            mm_doubling_high_multiply(reciprocal, mm_softmax_s8_exp(p, difference)), exponent);
      }
      output[i] = (int8_t)mm_clamp(result - 128, -128, 127);
    }
    input += p->depth;
    output += p->depth;
  }
}

#ifdef __cplusplus
}
#endif

#endif
