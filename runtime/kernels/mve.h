/* What the kernels for cores with the M-profile vector extension (MVE, Helium: Cortex-M55, M85) share.
 *
 * MM_HAS_MVE is 1 where the compiler says that the core has it. Everything built on it gives the bytes of the portable code,
 * which stays the definition. Loops whose last round is partly idle (WLSTP, LETP) neither read nor write beyond their bytes.
 *
 * Requantisation. VQRDMULH rounds a product at bit 31 as mm_doubling_high_multiply does. VRSHL rounds ties up, the portable
 * code away from zero: one less for negative products that are shifted (VAND, VSHR, VQADD) makes them equal. Where a layer's
 * lower limit is at or above its output offset, as behind every ReLU, negative products end at that limit either way.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MVE_H
#define MICROMIND_RUNTIME_KERNELS_MVE_H

#include "common.h"

#if defined(__GNUC__) && defined(__ARM_FEATURE_MVE) && !defined(__ARM_BIG_ENDIAN)
#define MM_HAS_MVE 1
#else
#define MM_HAS_MVE 0
#endif

#if MM_HAS_MVE

#include <arm_mve.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function written in assembly: the compiler adds nothing to it and believes nothing about its registers. */
#if defined(__clang__)
#define MM_MVE_ASSEMBLY static __attribute__((naked, noinline, unused))
#else
#define MM_MVE_ASSEMBLY static __attribute__((naked, noipa, unused))
#endif
#define MM_MVE_APART static __attribute__((noinline, unused)) /* one copy, of its own */

/* memcpy and memset; bytes ≥ 0. */
static inline void mm_mve_copy(int8_t* to, const int8_t* from, int32_t bytes) {
  __asm__ volatile(
      "wlstp.8  lr, %2, 2f       \n"
      "1:                        \n"
      "vldrb.8  q0, [%1], #16    \n"
      "vstrb.8  q0, [%0], #16    \n"
      "letp     lr, 1b           \n"
      "2:                        \n"
      : "+r"(to), "+r"(from)
      : "r"(bytes)
      : "lr", "q0", "memory");
}
static inline void mm_mve_fill(int8_t* to, int32_t value, int32_t bytes) {
  __asm__ volatile(
      "vdup.8   q0, %2           \n"
      "wlstp.8  lr, %1, 2f       \n"
      "1:                        \n"
      "vstrb.8  q0, [%0], #16    \n"
      "letp     lr, 1b           \n"
      "2:                        \n"
      : "+r"(to)
      : "r"(bytes), "r"(value)
      : "lr", "q0", "memory");
}

/* Limits other than a byte's own, where they were left out before. */
static inline void mm_mve_clamp_all(int8_t* values, int32_t count, int32_t low, int32_t high) {
  if (low <= -128 && high >= 127) return;
  __asm__ volatile(
      "vdup.8   q1, %2           \n"
      "vdup.8   q2, %3           \n"
      "wlstp.8  lr, %1, 2f       \n"
      "1:                        \n"
      "vldrb.8  q0, [%0]         \n"
      "vmax.s8  q0, q0, q1       \n"
      "vmin.s8  q0, q0, q2       \n"
      "vstrb.8  q0, [%0], #16    \n"
      "letp     lr, 1b           \n"
      "2:                        \n"
      : "+r"(values)
      : "r"(count), "r"(low), "r"(high)
      : "lr", "q0", "q1", "q2", "memory");
}

/* mm_rounding_shift_right of four numbers; minus_right in -31…0. */
static inline int32x4_t mm_mve_rounding_shift_right(int32x4_t value, int32_t minus_right) {
  const int32x4_t nudge = vshrq_n_s32(vandq_s32(value, vdupq_n_s32(minus_right)), 31);
  return vrshlq_n_s32(vqaddq_s32(value, nudge), minus_right);
}

/* Sums over a window of up to four channels (`some`). */
static inline int32x4_t mm_mve_window_sum(const int8_t* x, int32_t rows, int32_t columns, int32_t row_step, int32_t column_step,
                                          int32_t some) {
  int32x4_t sum = vdupq_n_s32(0);
  for (; rows > 0; --rows, x += row_step) {
    const int8_t* from = x;
    __asm__ volatile(
        "vctp.32  %4                 \n"
        "wls      lr, %2, 2f         \n"
        "1:                          \n"
        "vpst                        \n"
        "vldrbt.s32 q0, [%1]         \n"
        "add      %1, %1, %3         \n"
        "vadd.i32 %q0, %q0, q0       \n"
        "le       lr, 1b             \n"
        "2:                          \n"
        : "+w"(sum), "+l"(from)
        : "r"(columns), "r"(column_step), "r"(some)
        : "lr", "q0", "memory");
  }
  return sum;
}

/* mm_requantize of four numbers with one factor. */
static inline int32x4_t mm_mve_requantize(int32x4_t value, int32_t multiplier, int32_t shift) {
  if (shift > 0) value = vshlq_r_s32(value, shift);
  value = vqrdmulhq_n_s32(value, multiplier);
  return shift < 0 ? mm_mve_rounding_shift_right(value, shift) : value;
}

/* Four results, the offset added (modulo 2^32, as mm_requantize_s8 does), clamped, to bytes. */
static inline void mm_mve_store(int8_t* output, int32x4_t value, int32_t offset, int32x4_t low, int32x4_t high,
                                mve_pred16_t some) {
  value = vminq_s32(vmaxq_s32(vaddq_n_s32(value, offset), low), high);
  vstrbq_p_s32(output, value, some);
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_MVE */

#endif
