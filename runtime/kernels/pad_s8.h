/* Constant padding of height and width, int8: TFLite PAD and PADV2.
 *
 *   input [in_h][in_w][channels]   output [pad_top + in_h + pad_bottom][pad_left + in_w +
 * pad_right][channels]
 *
 * value is quantised: the zero point pads with 0.0. Input and output may not overlap.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_PAD_S8_H
#define MICROMIND_RUNTIME_KERNELS_PAD_S8_H

#include <string.h>
#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t in_h, in_w, channels;
  int32_t pad_top, pad_bottom, pad_left, pad_right; /* ≥ 0 */
  int32_t value;                                    /* -128…127 */
} mm_pad_s8_params;

static inline void mm_pad_s8(const mm_pad_s8_params* p, const int8_t* input, int8_t* output) {
  const size_t pixel = (size_t)p->channels;
  const size_t row = (size_t)p->in_w * pixel;
  const size_t left = (size_t)p->pad_left * pixel;
  const size_t right = (size_t)p->pad_right * pixel;
  const size_t out_row = left + row + right;
  memset(output, p->value, (size_t)p->pad_top * out_row);
  output += (size_t)p->pad_top * out_row;
  for (int32_t y = 0; y < p->in_h; ++y) {
    memset(output, p->value, left);
    memcpy(output + left, input, row);
    memset(output + left + row, p->value, right);
    input += row;
    output += out_row;
  }
  memset(output, p->value, (size_t)p->pad_bottom * out_row);
}

#ifdef __cplusplus
}
#endif

#endif
