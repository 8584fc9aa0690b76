/* Instructions of the DSP extension (Cortex-M4, M7, M33) that the kernels use: two 16-bit products at once.
 *
 * MM_HAS_DSP is 1 where the compiler says that the core has them and that words may be read at any address. Everything
 * built on them gives the bytes of the portable code, which stays the definition.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_DSP_H
#define MICROMIND_RUNTIME_KERNELS_DSP_H

#include <string.h>

#include "common.h"

#if defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED) && \
    !defined(__ARM_FEATURE_MVE) && !defined(__ARM_BIG_ENDIAN)
#define MM_HAS_DSP 1
#else
#define MM_HAS_DSP 0
#endif

#if MM_HAS_DSP

#ifdef __cplusplus
extern "C" {
#endif

/* A function written in assembly: the compiler adds nothing to it and believes nothing about its registers. */
#define MM_APART static __attribute__((noinline, unused)) /* of its own, so that loops have registers enough */
#if defined(__clang__)
#define MM_ASSEMBLY static __attribute__((naked, noinline, unused))
#else
#define MM_ASSEMBLY static __attribute__((naked, noipa, unused))
#endif

/* Four bytes at any address, the first in the lowest bits. */
static inline uint32_t mm_load_word(const int8_t* p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Bytes 0 and 2 (1 and 3) as signed halfwords, added to a pair of halfwords. */
static inline uint32_t mm_add_even_bytes(uint32_t pair, uint32_t word) {
  uint32_t result;
  __asm__("sxtab16 %0, %1, %2" : "=r"(result) : "r"(pair), "r"(word));
  return result;
}
static inline uint32_t mm_add_odd_bytes(uint32_t pair, uint32_t word) {
  uint32_t result;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(pair), "r"(word));
  return result;
}

/* value as both halfwords. */
static inline uint32_t mm_both_halves(int32_t value) {
  return ((uint32_t)value & 0xffffu) * 0x10001u;
}

/* a * b / 2^32 to nearest, ties towards plus infinity. */
static inline int32_t mm_high_multiply_rounded(int32_t a, int32_t b) {
  int32_t result;
  __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
  return result;
}

/* Exactly mm_doubling_high_multiply(value, multiplier) where value lies within ±2^30. */
static inline int32_t mm_doubling_high_multiply_small(int32_t value, int32_t multiplier) {
  return mm_high_multiply_rounded(value * 2, multiplier);
}

/* mm_rounding_shift_right(value, right) + offset for right in 1…31 and |value| < 2^31 - 1: the shift leaves the bit below
 * the result in the carry. */
static inline int32_t mm_rounding_shift_right_and_add(int32_t value, int32_t right, int32_t offset) {
  int32_t result;
  __asm__(
      "add %0, %1, %1, asr #31 \n\t"
      "asrs %0, %0, %2 \n\t"
      "adc %0, %0, %3"
      : "=&r"(result)
      : "r"(value), "r"(right), "r"(offset)
      : "cc");
  return result;
}

static inline int32_t mm_saturate_s8(int32_t value) {
  int32_t result;
  __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
  return result;
}

/* mm_requantize_s8 with shift = -right, limits -128 and 127, where |value| < 2^30 and right is in 1…31. */
static inline int32_t mm_requantize_small_s8(int32_t value, int32_t multiplier, int32_t right, int32_t output_offset) {
  const int32_t product = mm_doubling_high_multiply_small(value, multiplier);
  return mm_saturate_s8(mm_rounding_shift_right_and_add(product, right, output_offset));
}

/* Limits other than a byte's own, where they were left out before: four bytes at once. */
MM_APART void mm_clamp_all(int8_t* values, int32_t count, int32_t low, int32_t high) {
  const uint32_t lows = ((uint32_t)low & 0xffu) * 0x01010101u, highs = ((uint32_t)high & 0xffu) * 0x01010101u;
  if (low <= -128 && high >= 127) return;
  for (; count >= 4; count -= 4, values += 4) {
    uint32_t word = mm_load_word(values), difference;
    __asm__(
        "ssub8 %1, %0, %2 \n\t"
        "sel   %0, %0, %2 \n\t"
        "ssub8 %1, %3, %0 \n\t"
        "sel   %0, %0, %3"
        : "+&r"(word), "=&r"(difference)
        : "r"(lows), "r"(highs));
    memcpy(values, &word, sizeof word);
  }
  for (; count > 0; --count, ++values) *values = (int8_t)mm_clamp(*values, low, high);
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_DSP */

#endif
