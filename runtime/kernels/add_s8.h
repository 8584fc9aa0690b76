/* Elementwise sum of two tensors of one shape, int8: TFLite ADD.
 *
 * Both inputs are brought to twice the larger scale with left_shift (20) bits of head room, added, and
 * brought to the output's scale. The three factors are below 1, so no shift is positive. The output may be
 * either input.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_ADD_S8_H
#define MICROMIND_RUNTIME_KERNELS_ADD_S8_H

#include "common.h"
#include "dsp.h"
#include "mve.h"

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

#if MM_HAS_DSP
/* The two cases that occur: the larger scale's factor is exactly 1/2 (a multiplier of 2^30, no shift), the other's is that,
 * too, or below. Returns 0 for others. */
static inline int mm_add_s8_dsp(const mm_add_s8_params* p, const int8_t* input1, const int8_t* input2, int8_t* output) {
  const int32_t half = INT32_C(1) << 30, count = p->count;
  const int swap = p->input1_shift != 0 || p->input1_multiplier != half;
  const int8_t *a = swap ? input2 : input1, *b = swap ? input1 : input2;
  const int32_t multiplier = swap ? p->input1_multiplier : p->input2_multiplier;
  const int32_t right = -(swap ? p->input1_shift : p->input2_shift);
  const int32_t a_offset = (swap ? p->input2_offset : p->input1_offset) * (INT32_C(1) << 19);
  const int32_t b_offset = swap ? p->input1_offset : p->input2_offset;
  const int32_t output_multiplier = p->output_multiplier, output_right = -p->output_shift;
  const int32_t output_offset = p->output_offset;
  if (p->left_shift != 20 || output_right < 1) return 0;
  if (swap && (p->input2_shift != 0 || p->input2_multiplier != half)) return 0;
  if (right == 0 && multiplier == half) {
    const int32_t offsets = a_offset + b_offset * (INT32_C(1) << 19);
    for (int32_t i = 0; i < count; ++i) {
      const int32_t sum = (*a++ + *b++) * (INT32_C(1) << 19) + offsets;
      *output++ = (int8_t)mm_requantize_small_s8(sum, output_multiplier, output_right, output_offset);
    }
  } else if (right >= 1) {
    const int32_t b_twice = b_offset * (INT32_C(1) << 21); /* a factor of the doubled product */
    for (int32_t i = 0; i < count; ++i) {
      const int32_t wide = *a++ * (INT32_C(1) << 19) + a_offset;
      const int32_t product = mm_high_multiply_rounded(*b++ * (INT32_C(1) << 21) + b_twice, multiplier);
      const int32_t sum = mm_rounding_shift_right_and_add(product, right, wide);
      *output++ = (int8_t)mm_requantize_small_s8(sum, output_multiplier, output_right, output_offset);
    }
  } else {
    return 0;
  }
  mm_clamp_all(output - count, count, p->act_min, p->act_max);
  return 1;
}
#endif

#if MM_HAS_MVE
typedef struct {
  const int8_t *a, *b;
  int8_t* output;
  int32_t count, b_offset, b_multiplier, minus_b_right; /* b_offset: times b_scale */
  int32_t b_scale, a_scale, a_offset;                   /* powers of two; a_offset: times a_scale */
  int32_t multiplier, minus_right, output_offset;
} mm_add_s8_mve_job;

/* b: scaled up, its product rounded twice; a: scaled up, exact; their sum: rounded twice, to bytes. Both right shifts are at
 * least 1. */
MM_MVE_ASSEMBLY void mm_add_s8_mve_loop(const mm_add_s8_mve_job* job __attribute__((unused))) {
  __asm__ volatile(
      ".syntax unified             \n"
      "push     {r4-r11, lr}       \n"
      "ldr      r4, [r0, #28]      \n"
      "vdup.32  q3, r4             \n"
      "ldrd     r8, r9, [r0, #32]  \n"
      "ldrd     r10, r11, [r0, #40]\n"
      "ldr      r12, [r0, #48]     \n"
      "ldm      r0, {r1-r7}        \n"
      "wlstp.32 lr, r4, 2f         \n"
      "1:                          \n"
      "vldrb.s32 q1, [r2], #4      \n"
      "vmlas.s32 q1, q3, r5        \n"
      "vqrdmulh.s32 q1, q1, r6     \n"
      "vshr.s32 q2, q1, #31        \n"
      "vadd.i32 q1, q1, q2         \n"
      "vldrb.s32 q0, [r1], #4      \n"
      "vrshl.s32 q1, r7            \n"
      "vmla.s32 q1, q0, r8         \n"
      "vadd.i32 q1, q1, r9         \n"
      "vqrdmulh.s32 q1, q1, r10    \n"
      "vshr.s32 q2, q1, #31        \n"
      "vadd.i32 q1, q1, q2         \n"
      "vrshl.s32 q1, r11           \n"
      "vadd.i32 q1, q1, r12        \n"
      "vqmovnb.s32 q1, q1          \n"
      "vqmovnb.s16 q1, q1          \n"
      "vstrb.32 q1, [r3], #4       \n"
      "letp     lr, 1b             \n"
      "2:                          \n"
      "pop      {r4-r11, pc}       \n");
}

/* The case that occurs: one factor, of the larger scale, is exactly 1/2, the other that, too, or below. Returns 0 for others. */
static inline int mm_add_s8_mve(const mm_add_s8_params* p, const int8_t* input1, const int8_t* input2, int8_t* output) {
  const int32_t half = INT32_C(1) << 30;
  const int swap = p->input1_shift != 0 || p->input1_multiplier != half;
  const int32_t multiplier = swap ? p->input1_multiplier : p->input2_multiplier;
  const int32_t shift = swap ? p->input1_shift : p->input2_shift;
  const int even = multiplier == half && shift == 0; /* as 2^21 times 1/2, then 1/2: exact, with a shift of 1 */
  const int32_t scale = INT32_C(1) << (even ? 21 : 20);
  mm_add_s8_mve_job job;
  if (p->left_shift != 20 || p->output_shift >= 0 || (shift >= 0 && !even)) return 0;
  if (swap && (p->input2_shift != 0 || p->input2_multiplier != half)) return 0;
  job.a = swap ? input2 : input1;
  job.b = swap ? input1 : input2;
  job.output = output;
  job.count = p->count;
  job.b_offset = (swap ? p->input1_offset : p->input2_offset) * scale;
  job.b_multiplier = multiplier;
  job.minus_b_right = even ? -1 : shift;
  job.b_scale = scale;
  job.a_scale = INT32_C(1) << 19;
  job.a_offset = (swap ? p->input2_offset : p->input1_offset) * job.a_scale;
  job.multiplier = p->output_multiplier;
  job.minus_right = p->output_shift;
  job.output_offset = p->output_offset;
  mm_add_s8_mve_loop(&job);
  mm_mve_clamp_all(output, p->count, p->act_min, p->act_max);
  return 1;
}
#endif

static inline void mm_add_s8(const mm_add_s8_params* p, const int8_t* input1, const int8_t* input2,
                             int8_t* output) {
#if MM_HAS_DSP
  if (mm_add_s8_dsp(p, input1, input2, output)) return;
#elif MM_HAS_MVE
  if (mm_add_s8_mve(p, input1, input2, output)) return;
#endif
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
