/* One output of a split (or slice along one axis), int8: TFLite SPLIT and SPLIT_V, called once for each
 * output.
 *
 * The axis is expressed as in concat_s8.h: `outer` blocks of bytes that lie side by side. Input and output
 * may not overlap.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_SPLIT_S8_H
#define MICROMIND_RUNTIME_KERNELS_SPLIT_S8_H

#include <string.h>
#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t outer;        /* blocks */
  int32_t input_inner;  /* bytes of a block of the input */
  int32_t output_inner; /* bytes of a block of this output */
  int32_t input_start;  /* where this output begins in a block of the input */
} mm_split_s8_params;

static inline void mm_split_s8(const mm_split_s8_params* p, const int8_t* input, int8_t* output) {
  input += p->input_start;
  for (int32_t block = 0; block < p->outer; ++block) {
    memcpy(output, input, (size_t)p->output_inner);
    input += p->input_inner;
    output += p->output_inner;
  }
}

#ifdef __cplusplus
}
#endif

#endif
