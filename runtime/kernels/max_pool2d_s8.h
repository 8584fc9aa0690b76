/* Maximum pooling, int8: TFLite MAX_POOL_2D.
 *
 *   input [in_h][in_w][channels]   output [out_h][out_w][channels], of the same scale and zero point
 *
 * The padding takes no part; a window wholly in it gives act_min. Overlap: see "Order" in README.md.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MAX_POOL2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_MAX_POOL2D_S8_H

#include "common.h"
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
} mm_max_pool2d_s8_params;

#if MM_HAS_MVE
/* Sixteen channels of one window. */
static inline void mm_max_pool2d_s8_mve(const int8_t* x, int32_t rows, int32_t columns, int32_t row_step, int32_t column_step,
                                        int32_t low, int32_t high, int32_t channels, int8_t* output) {
  const mve_pred16_t some = vctp8q((uint32_t)channels);
  int8x16_t most = vdupq_n_s8((int8_t)low);
  for (; rows > 0; --rows, x += row_step) {
    const int8_t* from = x;
    for (int32_t i = columns; i > 0; --i, from += column_step) most = vmaxq_s8(most, vldrbq_z_s8(from, some));
  }
  vstrbq_p_s8(output, vminq_s8(most, vdupq_n_s8((int8_t)high)), some);
}
#endif

static inline void mm_max_pool2d_s8(const mm_max_pool2d_s8_params* p, const int8_t* input, int8_t* output) {
  for (int32_t y = 0; y < p->out_h; ++y) {
    const int32_t top = y * p->stride_h - p->pad_top;
    int32_t first_row, last_row;
    mm_clip_window(top, p->in_h, p->kernel_h, 1, &first_row, &last_row);
    for (int32_t x = 0; x < p->out_w; ++x) {
      const int32_t left = x * p->stride_w - p->pad_left;
      int32_t first, last;
      mm_clip_window(left, p->in_w, p->kernel_w, 1, &first, &last);
#if MM_HAS_MVE
      const int some = first_row < last_row && first < last; /* else no address in the image */
      const int8_t* const corner = some ? input + ((top + first_row) * p->in_w + left + first) * p->channels : input;
      for (int32_t channel = 0; channel < p->channels; channel += 16) {
        mm_max_pool2d_s8_mve(corner + channel, some ? last_row - first_row : 0, last - first, p->in_w * p->channels, p->channels,
                             p->act_min, p->act_max, p->channels - channel, output + channel);
      }
#else
      for (int32_t channel = 0; channel < p->channels; ++channel) output[channel] = (int8_t)p->act_min;
      for (int32_t row = first_row; row < last_row; ++row) {
        for (int32_t column = first; column < last; ++column) {
          const int8_t* pixel = input + ((top + row) * p->in_w + left + column) * p->channels;
          for (int32_t channel = 0; channel < p->channels; ++channel) {
            output[channel] = output[channel] < pixel[channel] ? pixel[channel] : output[channel];
          }
        }
      }
      for (int32_t channel = 0; channel < p->channels; ++channel) {
        output[channel] = (int8_t)mm_min(output[channel], p->act_max);
      }
#endif
      output += p->channels;
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
