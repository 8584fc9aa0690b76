/* Average pooling, int8: TFLite AVERAGE_POOL_2D.
 *
 *   input [in_h][in_w][channels]   output [out_h][out_w][channels], of the same scale and zero point
 *
 * The padding is left out of sum and count; ties round away from zero. A window wholly in the padding (TFLite
 * refuses it) gives clamp(0). Input and output may not overlap.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_AVERAGE_POOL2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_AVERAGE_POOL2D_S8_H

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t in_h, in_w, channels;
  int32_t out_h, out_w;
  int32_t kernel_h, kernel_w;
  int32_t stride_h, stride_w;
  int32_t pad_top, pad_left;
  int32_t act_min, act_max; /* -128…127 */
} mm_average_pool2d_s8_params;

static inline void mm_average_pool2d_s8(const mm_average_pool2d_s8_params* p, const int8_t* input,
                                        int8_t* output) {
  for (int32_t y = 0; y < p->out_h; ++y) {
    const int32_t top = y * p->stride_h - p->pad_top;
    int32_t first_row, last_row;
    mm_clip_window(top, p->in_h, p->kernel_h, 1, &first_row, &last_row);
    for (int32_t x = 0; x < p->out_w; ++x) {
      const int32_t left = x * p->stride_w - p->pad_left;
      int32_t first, last;
      mm_clip_window(left, p->in_w, p->kernel_w, 1, &first, &last);
      const int32_t count = (last_row - first_row) * (last - first);
      for (int32_t channel = 0; channel < p->channels; ++channel) {
        int32_t sum = 0;
        for (int32_t row = first_row; row < last_row; ++row) {
          for (int32_t column = first; column < last; ++column) {
            sum += input[((top + row) * p->in_w + left + column) * p->channels + channel];
          }
        }
        *output++ = (int8_t)mm_clamp(count > 0 ? mm_rounding_divide(sum, count) : 0, p->act_min, p->act_max);
      }
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
