/* Elementwise sum of two tensors of one shape, int8: TFLite ADD.
 *
 * Both inputs are brought to twice the larger scale with left_shift (20) bits of head room, added, and
 * brought to the output's scale. The three factors are below 1, so no shift is positive. The output may be
 * either input.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_ADD_S8_H
#define MICROMIND_RUNTIME_KERNELS_ADD_S8_H

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t count;                           /* elements */
  int32_t input1_offset;                   /* minus the zero point, -127…128 */
  int32_t input1_multiplier, input1_shift; /* scale1 / (2 max(scale1, scale2)) */
  int32_t input2_offset;
  int32_t input2_multiplier, input2_shift; /* scale2 / (2 max(scale1, scale2)) */
  int32_t output_offset;                   /* the zero point, -128…127 */
  int32_t output_multiplier, output_shift; /* 2 max(scale1, scale2) / (2^left_shift output scale) */
  int32_t act_min, act_max;                /* -128…127 */
  int32_t left_shift;                      /* 20 in TFLite */
} mm_add_s8_params;

static inline void mm_add_s8(const mm_add_s8_params* p, const int8_t* input1, const int8_t* input2,
                             int8_t* output) {
  for (int32_t i = 0; i < p->count; ++i) {
    const int32_t wide1 = mm_shift_left(input1[i] + p->input1_offset, p->left_shift);
    const int32_t wide2 = mm_shift_left(input2[i] + p->input2_offset, p->left_shift);
    const int32_t sum = mm_wrapping_add(mm_requantize(wide1, p->input1_multiplier, p->input1_shift),
                                        mm_requantize(wide2, p->input2_multiplier, p->input2_shift));
    output[i] = mm_requantize_s8(sum, p->output_multiplier, p->output_shift, p->output_offset, p->act_min,
                                 p->act_max);
  }
}

#ifdef __cplusplus
}
#endif

#endif
