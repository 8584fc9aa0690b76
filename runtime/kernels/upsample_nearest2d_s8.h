/* Nearest-neighbour enlargement by whole factors, int8: TFLite RESIZE_NEAREST_NEIGHBOR.
 *
 *   input [in_h][in_w][channels]   output [in_h * scale_h][in_w * scale_w][channels]
 *
 * Scale and zero point stay. Input and output may not overlap.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_UPSAMPLE_NEAREST2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_UPSAMPLE_NEAREST2D_S8_H

#include <string.h>
#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t in_h, in_w, channels;
  int32_t scale_h, scale_w; /* ≥ 1 */
} mm_upsample_nearest2d_s8_params;

static inline void mm_upsample_nearest2d_s8(const mm_upsample_nearest2d_s8_params* p, const int8_t* input,
                                            int8_t* output) {
  const size_t pixel = (size_t)p->channels;
  const size_t row = (size_t)p->in_w * (size_t)p->scale_w * pixel;
  for (int32_t y = 0; y < p->in_h; ++y) {
    const int8_t* first_row = output;
    for (int32_t x = 0; x < p->in_w; ++x) {
      for (int32_t copy = 0; copy < p->scale_w; ++copy) {
        memcpy(output, input, pixel);
        output += pixel;
      }
      input += pixel;
    }
    for (int32_t copy = 1; copy < p->scale_h; ++copy) {
      memcpy(output, first_row, row);
      output += row;
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
