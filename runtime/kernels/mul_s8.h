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

static inline void mm_mul_s8(const mm_mul_s8_params* p, const int8_t* input1, const int8_t* input2,
                             int8_t* output) {
  for (int32_t y = 0; y < p->out_h; ++y) {
    for (int32_t x = 0; x < p->out_w; ++x) {
      const int8_t* a = input1 + y * p->stride1_h + x * p->stride1_w;
      const int8_t* b = input2 + y * p->stride2_h + x * p->stride2_w;
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
