/* Average pooling, int8: TFLite AVERAGE_POOL_2D.
 *
 *   input [in_h][in_w][channels]   output [out_h][out_w][channels], of the same scale and zero point
 *
 * The padding is left out of sum and count; ties round away from zero. A window wholly in the padding (TFLite
 * refuses it) gives clamp(0). Overlap: see "Order" in README.md.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_AVERAGE_POOL2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_AVERAGE_POOL2D_S8_H

#include "common.h"
#include "dsp.h"
#include "mve.h"

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

#if MM_HAS_DSP
/* Adds four channels of `columns` neighbouring pixels to sums; 255 of them fit halfwords. */
static inline void mm_average_pool2d_s8_row4(const int8_t* x, int32_t columns, int32_t step, int32_t* sums) {
  while (columns > 0) {
    const int32_t some = mm_min(columns, 255);
    uint32_t even = 0, odd = 0;
    for (int32_t i = 0; i < some; ++i, x += step) {
      const uint32_t word = mm_load_word(x);
      even = mm_add_even_bytes(even, word);
      odd = mm_add_odd_bytes(odd, word);
    }
    sums[0] += (int16_t)even;
    sums[1] += (int16_t)odd;
    sums[2] += (int16_t)(even >> 16);
    sums[3] += (int16_t)(odd >> 16);
    columns -= some;
  }
}
#endif

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
#if MM_HAS_MVE
      const int8_t* const corner = count > 0 ? input + ((top + first_row) * p->in_w + left + first) * p->channels : input;
      for (int32_t channel = 0; channel < p->channels; channel += 4) {
        const int32_t some = mm_min(4, p->channels - channel);
        int32_t sums[4];
        vstrwq_s32(sums, mm_mve_window_sum(corner + channel, count > 0 ? last_row - first_row : 0, last - first,
                                           p->in_w * p->channels, p->channels, some));
        for (int32_t k = 0; k < some; ++k) {
          *output++ = (int8_t)mm_clamp(count > 0 ? mm_rounding_divide(sums[k], count) : 0, p->act_min, p->act_max);
        }
      }
#else
      int32_t channel = 0;
#if MM_HAS_DSP
      for (; channel + 4 <= p->channels && count > 0; channel += 4) {
        int32_t sums[4] = {0, 0, 0, 0};
        for (int32_t row = first_row; row < last_row; ++row) {
          mm_average_pool2d_s8_row4(input + ((top + row) * p->in_w + left + first) * p->channels + channel, last - first,
                                    p->channels, sums);
        }
        for (int32_t k = 0; k < 4; ++k) {
          *output++ = (int8_t)mm_clamp(mm_rounding_divide(sums[k], count), p->act_min, p->act_max);
        }
      }
#endif
      for (; channel < p->channels; ++channel) {
        int32_t sum = 0;
        for (int32_t row = first_row; row < last_row; ++row) {
          for (int32_t column = first; column < last; ++column) {
            sum += input[((top + row) * p->in_w + left + column) * p->channels + channel];
          }
        }
        *output++ = (int8_t)mm_clamp(count > 0 ? mm_rounding_divide(sum, count) : 0, p->act_min, p->act_max);
      }
#endif
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
