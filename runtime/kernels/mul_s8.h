/* Elementwise product with broadcasting, int8: TFLite MUL.
 *
 *   output [out_h][out_w][out_c]; element (y, x, c) of an input lies at y * stride_h + x * stride_w + c *
 * stride_c
 *
 * A stride of 0 repeats the input along that axis (a channel gate of squeeze-and-excite: 0, 0, 1).
 *
 *   output = clamp(requantise((a + input1_offset) * (b + input2_offset)) + output_offset, act_min, act_max)
 *
 * The factor is scale1 * scale2 / output scale. The output may be an input that is not broadcast.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MUL_S8_H
#define MICROMIND_RUNTIME_KERNELS_MUL_S8_H

#include "common.h"
#include "dsp.h"
#include "mve.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t out_h, out_w, out_c;
  int32_t stride1_h, stride1_w, stride1_c; /* elements; 0 = broadcast */
  int32_t stride2_h, stride2_w, stride2_c;
  int32_t input1_offset, input2_offset; /* minus the zero points, -127…128 */
  int32_t output_offset;                /* the zero point, -128…127 */
  int32_t multiplier, shift;            /* Q31; positive to the left */
  int32_t act_min, act_max;             /* -128…127 */
} mm_mul_s8_params;

#if MM_HAS_DSP
typedef struct {
  uint32_t offsets1, offsets2; /* 0, 4: of both halves; the second one twice */
  int32_t multiplier, factor;  /* 8, 12: factor as in packed_s8.h */
  int32_t output_offset;       /* 16 */
} mm_mul_job;

/* words (≥ 1) of four products each. */
MM_ASSEMBLY void mm_mul_words(const int8_t* a __attribute__((unused)), const int8_t* b __attribute__((unused)),
                              int8_t* output __attribute__((unused)), int32_t words __attribute__((unused)),
                              const mm_mul_job* job __attribute__((unused))) {
  __asm__ volatile(
      ".syntax unified            \n"
      "push    {r4-r11, lr}       \n"
      "ldr     r12, [sp, #36]     \n"
      "ldm     r12, {r4-r8}       \n"
      "1:                         \n"
      "ldr     r9, [r0], #4       \n"
      "ldr     r10, [r1], #4      \n"
      "sxtab16 r11, r4, r9        \n"
      "sxtab16 r9, r4, r9, ror #8 \n"
      "sxtab16 r12, r5, r10       \n"
      "sxtab16 r12, r12, r10      \n"
      "sxtab16 lr, r5, r10, ror #8\n"
      "sxtab16 lr, lr, r10, ror #8\n"
      "smulbb  r10, r11, r12      \n"
      "smultt  r11, r11, r12      \n"
      "smulbb  r12, r9, lr        \n"
      "smultt  r9, r9, lr         \n"
      "smmulr  r10, r10, r6       \n"
      "smmulr  r11, r11, r6       \n"
      "smmulr  r12, r12, r6       \n"
      "smmulr  r9, r9, r6         \n"
      "smmlar  r10, r10, r7, r8   \n"
      "smmlar  r11, r11, r7, r8   \n"
      "smmlar  r12, r12, r7, r8   \n"
      "smmlar  r9, r9, r7, r8     \n"
      "ssat    r10, #8, r10       \n"
      "ssat    r11, #8, r11       \n"
      "ssat    r12, #8, r12       \n"
      "ssat    r9, #8, r9         \n"
      "bfi     r10, r12, #8, #8   \n"
      "bfi     r10, r11, #16, #8  \n"
      "bfi     r10, r9, #24, #8   \n"
      "str     r10, [r2], #4      \n"
      "subs    r3, r3, #1         \n"
      "bne     1b                 \n"
      "pop     {r4-r11, pc}       \n");
}

static inline int mm_mul_s8_whole(const mm_mul_s8_params* p, int32_t h, int32_t w, int32_t c) {
  return (p->out_c == 1 || c == 1) && (p->out_w == 1 || w == p->out_c) && (p->out_h == 1 || h == p->out_w * p->out_c);
}

/* The two cases that occur: both inputs of the output's shape, or one of them a number a channel. Returns 0 for others. */
static inline int mm_mul_s8_dsp(const mm_mul_s8_params* p, const int8_t* input1, const int8_t* input2, int8_t* output) {
  const int32_t right = -p->shift, pixels = p->out_h * p->out_w;
  const int whole1 = mm_mul_s8_whole(p, p->stride1_h, p->stride1_w, p->stride1_c);
  const int whole2 = mm_mul_s8_whole(p, p->stride2_h, p->stride2_w, p->stride2_c);
  const int gate1 = p->stride1_h == 0 && p->stride1_w == 0 && p->stride1_c == 1;
  const int gate2 = p->stride2_h == 0 && p->stride2_w == 0 && p->stride2_c == 1;
  const int swap = !whole1;
  const int8_t *a = swap ? input2 : input1, *b = swap ? input1 : input2;
  const int32_t runs = whole1 && whole2 ? 1 : pixels, length = whole1 && whole2 ? pixels * p->out_c : p->out_c;
  mm_mul_job job;
  if (right < 2 || right > 14) return 0; /* a product's 18 bits decide ties as packed_s8.h says */
  if (!(whole1 && whole2) && !(whole1 && gate2) && !(whole2 && gate1)) return 0;
  job.offsets1 = mm_both_halves(swap ? p->input2_offset : p->input1_offset);
  job.offsets2 = mm_both_halves(2 * (swap ? p->input1_offset : p->input2_offset));
  job.multiplier = p->multiplier;
  job.factor = (int32_t)((UINT32_C(1) << (32 - right)) + 1u);
  job.output_offset = p->output_offset;
  for (int32_t run = 0; run < runs; ++run, a += length, output += length) {
    if (length >= 4) mm_mul_words(a, b, output, length / 4, &job);
    for (int32_t i = length & ~3; i < length; ++i) {
      const int32_t product = (a[i] + (swap ? p->input2_offset : p->input1_offset)) *
                              (b[i] + (swap ? p->input1_offset : p->input2_offset));
      output[i] = (int8_t)mm_requantize_small_s8(product, p->multiplier, right, p->output_offset);
    }
  }
  mm_clamp_all(output - runs * length, runs * length, p->act_min, p->act_max);
  return 1;
}
#endif

static inline void mm_mul_s8(const mm_mul_s8_params* p, const int8_t* input1, const int8_t* input2,
                             int8_t* output) {
#if MM_HAS_DSP
  if (mm_mul_s8_dsp(p, input1, input2, output)) return;
#endif
  for (int32_t y = 0; y < p->out_h; ++y) {
    for (int32_t x = 0; x < p->out_w; ++x) {
      const int8_t* a = input1 + y * p->stride1_h + x * p->stride1_w;
      const int8_t* b = input2 + y * p->stride2_h + x * p->stride2_w;
#if MM_HAS_MVE
      if (p->stride1_c <= 1 && p->stride2_c <= 1) {
        const int32x4_t low = vdupq_n_s32(p->act_min), high = vdupq_n_s32(p->act_max);
        for (int32_t c = p->out_c; c > 0; c -= 4, a += 4 * p->stride1_c, b += 4 * p->stride2_c, output += 4) {
          const mve_pred16_t some = vctp32q((uint32_t)c);
          const int32x4_t left = p->stride1_c != 0 ? vldrbq_z_s32(a, some) : vdupq_n_s32(*a);
          const int32x4_t right = p->stride2_c != 0 ? vldrbq_z_s32(b, some) : vdupq_n_s32(*b);
          const int32x4_t product = vmulq_s32(vaddq_n_s32(left, p->input1_offset), vaddq_n_s32(right, p->input2_offset));
          mm_mve_store(output, mm_mve_requantize(product, p->multiplier, p->shift), p->output_offset, low, high, some);
        }
        output += (p->out_c & 3) != 0 ? (p->out_c & 3) - 4 : 0;
        continue;
      }
#endif
      for (int32_t c = 0; c < p->out_c; ++c) {
        const int32_t product =
            (a[c * p->stride1_c] + p->input1_offset) * (b[c * p->stride2_c] + p->input2_offset);
        *output++ =
            mm_requantize_s8(product, p->multiplier, p->shift, p->output_offset, p->act_min, p->act_max);
      }
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
