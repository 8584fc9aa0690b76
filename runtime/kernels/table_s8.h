/* Any function of one value, int8, as a table of 256 results.
 *
 * The host computes the tables (micromind/quantize/tables.h) with the arithmetic of the TFLite operator:
 * HARD_SWISH, LOGISTIC, QUANTIZE, RELU, RELU6, or a sequence such as LOGISTIC and MUL (SiLU). The output may
 * be the input.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_TABLE_S8_H
#define MICROMIND_RUNTIME_KERNELS_TABLE_S8_H

#include "common.h"
#include "dsp.h"
#include "mve.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t count;       /* elements */
  const int8_t* table; /* [256], table[value + 128] */
} mm_table_s8_params;

#if MM_HAS_DSP
/* `eights` (≥ 1) times eight bytes. table: of the entry of 0. */
MM_ASSEMBLY void mm_table_eights(const int8_t* input __attribute__((unused)), int8_t* output __attribute__((unused)),
                                 const int8_t* table __attribute__((unused)), int32_t eights __attribute__((unused))) {
#define MM_TABLE_TWO                  \
  "ldrsb  r4, [r0], #1          \n"   \
  "ldrsb  r5, [r0], #1          \n"   \
  "ldrb   r4, [r2, r4]          \n"   \
  "ldrb   r5, [r2, r5]          \n"   \
  "strb   r4, [r1], #1          \n"   \
  "strb   r5, [r1], #1          \n"
  __asm__ volatile(
      ".syntax unified            \n"
      "push   {r4, r5}            \n"
      "1:                         \n"
      MM_TABLE_TWO MM_TABLE_TWO MM_TABLE_TWO MM_TABLE_TWO
      "subs   r3, r3, #1          \n"
      "bne    1b                  \n"
      "pop    {r4, r5}            \n"
      "bx     lr                  \n");
#undef MM_TABLE_TWO
}
#endif

static inline void mm_table_s8(const mm_table_s8_params* p, const int8_t* input, int8_t* output) {
#if MM_HAS_DSP
  const int32_t most = p->count & ~7;
  if (most > 0) mm_table_eights(input, output, p->table + 128, most / 8);
  for (int32_t i = most; i < p->count; ++i) output[i] = p->table[input[i] + 128];
#elif MM_HAS_MVE
  __asm__ volatile(
      "wlstp.8  lr, %2, 2f         \n"
      "1:                          \n"
      "vldrb.8  q0, [%1], #16      \n"
      "vadd.i8  q0, q0, %4         \n"
      "vldrb.u8 q1, [%3, q0]       \n"
      "vstrb.8  q1, [%0], #16      \n"
      "letp     lr, 1b             \n"
      "2:                          \n"
      : "+r"(output), "+r"(input)
      : "r"(p->count), "r"(p->table), "r"(128)
      : "lr", "q0", "q1", "memory");
#else
  for (int32_t i = 0; i < p->count; ++i) output[i] = p->table[input[i] + 128];
#endif
}

#ifdef __cplusplus
}
#endif

#endif
