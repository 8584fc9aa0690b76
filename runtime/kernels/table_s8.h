/* Any function of one value, int8, as a table of 256 results.
 *
 * The host computes the tables (micromind/quantize/tables.h) with the arithmetic of the TFLite operator:
 * HARD_SWISH, LOGISTIC, QUANTIZE, RELU, RELU6, or a sequence such as LOGISTIC and MUL (SiLU). The output may
 * be the input.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_TABLE_S8_H
#define MICROMIND_RUNTIME_KERNELS_TABLE_S8_H

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t count;       /* elements */
  const int8_t* table; /* [256], table[value + 128] */
} mm_table_s8_params;

static inline void mm_table_s8(const mm_table_s8_params* p, const int8_t* input, int8_t* output) {
  for (int32_t i = 0; i < p->count; ++i) output[i] = p->table[input[i] + 128];
}

#ifdef __cplusplus
}
#endif

#endif
