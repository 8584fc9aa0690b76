/* One input of a concatenation, int8: TFLite CONCATENATION, called once for each input.
 *
 * An axis splits a tensor into `outer` blocks of bytes that lie side by side. For (H, W, C): channels outer =
 * H*W, inner = C; width outer = H, inner = W*C; height outer = 1, inner = H*W*C. All inputs have the output's
 * scale and zero point (requantise with a table where they do not). Input and output may not overlap.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_CONCAT_S8_H
#define MICROMIND_RUNTIME_KERNELS_CONCAT_S8_H

#include <string.h>
#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t outer;        /* blocks */
  int32_t input_inner;  /* bytes of a block of this input */
  int32_t output_inner; /* bytes of a block of the output: the sum over the inputs */
  int32_t output_start; /* where this input begins in a block of the output */
} mm_concat_s8_params;

static inline void mm_concat_s8(const mm_concat_s8_params* p, const int8_t* input, int8_t* output) {
  output += p->output_start;
  for (int32_t block = 0; block < p->outer; ++block) {
    memcpy(output, input, (size_t)p->input_inner);
    input += p->input_inner;
    output += p->output_inner;
  }
}

#ifdef __cplusplus
}
#endif

#endif
