/* Adaptive average pooling to a given size, int8 (PyTorch AdaptiveAvgPool2d).
 *
 *   input [in_h][in_w][channels]   output [out_h][out_w][channels], of the same scale and zero point
 *
 * Bin i of an axis covers floor(i * in / out) … ceil((i + 1) * in / out) - 1, so bins may overlap and differ
 * in size. Each bin is averaged as TFLite's AVERAGE_POOL_2D does (ties away from zero); where all bins are
 * equal and do not overlap, it is that operator. Input and output may not overlap.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_ADAPTIVE_AVERAGE_POOL2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_ADAPTIVE_AVERAGE_POOL2D_S8_H

#include "common.h"
#include "mve.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t in_h, in_w, channels;
  int32_t out_h, out_w;
} mm_adaptive_average_pool2d_s8_params;

static inline void mm_adaptive_average_pool2d_s8(const mm_adaptive_average_pool2d_s8_params* p,
                                                 const int8_t* input, int8_t* output) {
  for (int32_t y = 0; y < p->out_h; ++y) {
    const int32_t top = y * p->in_h / p->out_h;
    const int32_t bottom = ((y + 1) * p->in_h + p->out_h - 1) / p->out_h;
    for (int32_t x = 0; x < p->out_w; ++x) {
      const int32_t left = x * p->in_w / p->out_w;
      const int32_t right = ((x + 1) * p->in_w + p->out_w - 1) / p->out_w;
#if MM_HAS_MVE
      for (int32_t channel = 0; channel < p->channels; channel += 4) {
        const int32_t some = mm_min(4, p->channels - channel);
        int32_t sums[4];
        vstrwq_s32(sums, mm_mve_window_sum(input + (top * p->in_w + left) * p->channels + channel, bottom - top, right - left,
                                           p->in_w * p->channels, p->channels, some));
        for (int32_t k = 0; k < some; ++k) {
          *output++ = (int8_t)mm_rounding_divide(sums[k], (bottom - top) * (right - left));
        }
      }
#else
      for (int32_t channel = 0; channel < p->channels; ++channel) {
        int32_t sum = 0;
        for (int32_t row = top; row < bottom; ++row) {
          for (int32_t column = left; column < right; ++column) {
            sum += input[(row * p->in_w + column) * p->channels + channel];
          }
        }
        *output++ = (int8_t)mm_rounding_divide(sum, (bottom - top) * (right - left));
      }
#endif
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
