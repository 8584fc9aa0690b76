/* What every int8 kernel shares: requantisation, rounding and clamping.
 *
 * The arithmetic is TensorFlow Lite's "double rounding" one (gemmlowp): a real factor is a Q31 multiplier in
 * [2^30, 2^31) and a power of two, real = multiplier * 2^(shift - 31), and a product is rounded twice, once
 * at bit 31 (ties towards plus infinity) and once at the right shift (ties away from zero). TensorFlow Lite
 * Micro's reference kernels are the authority on every byte.
 *
 * Nothing here can be undefined: sums that TFLite leaves to overflow wrap around as they do on every two's
 * complement machine. The compiler must shift negative numbers arithmetically (checked below).
 */
#ifndef MICROMIND_RUNTIME_KERNELS_COMMON_H
#define MICROMIND_RUNTIME_KERNELS_COMMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef char mm_needs_arithmetic_right_shift[((-3 >> 1) == -2) ? 1 : -1];

/* Sixteen-bit factors let vector units multiply twice as many at once; a core without them is faster in 32
 * bits. A factor is a value minus its zero point, in [-255, 255], so both give the same sums. */
#if defined(__SSE2__) || defined(__ARM_NEON)
#define MM_HAS_VECTORS 1
typedef int16_t mm_factor;
#else
#define MM_HAS_VECTORS 0
typedef int32_t mm_factor;
#endif

static inline int32_t mm_min(int32_t a, int32_t b) {
  return a < b ? a : b;
}
static inline int32_t mm_max(int32_t a, int32_t b) {
  return a > b ? a : b;
}
static inline int32_t mm_clamp(int32_t value, int32_t low, int32_t high) {
  return mm_min(mm_max(value, low), high);
}

/* a + b and value * 2^bits modulo 2^32; bits in 0…31. */
static inline int32_t mm_wrapping_add(int32_t a, int32_t b) {
  return (int32_t)((uint32_t)a + (uint32_t)b);
}
static inline int32_t mm_shift_left(int32_t value, int bits) {
  return (int32_t)((uint32_t)value << bits);
}

/* Leading zero bits of a 32-bit word; 32 for zero. */
static inline int mm_leading_zeros(uint32_t value) {
  int count = 0;
  if (value == 0) return 32;
  while (!(value & UINT32_C(0x80000000))) {
    value <<= 1;
    ++count;
  }
  return count;
}

/* a * b / 2^31 to nearest, ties towards plus infinity; the one product that does not fit saturates.
 * gemmlowp SaturatingRoundingDoublingHighMul: its nudge and truncating division come to this floor. */
static inline int32_t mm_doubling_high_multiply(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* value / 2^exponent to nearest, ties away from zero; exponent in 0…31. gemmlowp RoundingDivideByPOT. */
static inline int32_t mm_rounding_shift_right(int32_t value, int exponent) {
  const int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1u);
  const int32_t remainder = value & mask;
  const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> exponent) + (remainder > threshold ? 1 : 0);
}

/* value * multiplier * 2^(shift - 31), rounded twice. multiplier in 0…2^31-1; shift in -31…31, positive to
 * the left (the shifted value wraps where it does not fit). TFLite MultiplyByQuantizedMultiplier. */
static inline int32_t mm_requantize(int32_t value, int32_t multiplier, int shift) {
  const int left = shift > 0 ? shift : 0;
  const int right = shift > 0 ? 0 : -shift;
  const int64_t product = (int64_t)mm_shift_left(value, left) * multiplier;
  return mm_rounding_shift_right((int32_t)((product + (INT64_C(1) << 30)) >> 31), right);
}

/* The end of most kernels: requantise, add the zero point, clamp. -128 ≤ low ≤ high ≤ 127. */
static inline int8_t mm_requantize_s8(int32_t value, int32_t multiplier, int shift, int32_t output_offset,
                                      int32_t low, int32_t high) {
  return (int8_t)mm_clamp(mm_wrapping_add(mm_requantize(value, multiplier, shift), output_offset), low, high);
}

/* sum / count to nearest, ties away from zero; count ≥ 1. How TFLite's int8 AVERAGE_POOL_2D divides. */
static inline int32_t mm_rounding_divide(int32_t sum, int32_t count) {
  return sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
}

/* The part first…last-1 of a kernel's taps that falls inside an axis of `size` pixels, when tap 0 lies at
 * `origin` (negative in the padding) and taps are `dilation` apart. Empty windows give first == last. */
static inline void mm_clip_window(int32_t origin, int32_t size, int32_t kernel, int32_t dilation,
                                  int32_t* first, int32_t* last) {
  const int32_t begin = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
  const int32_t end = origin < size ? (size - origin + dilation - 1) / dilation : 0;
  *last = mm_min(end, kernel);
  *first = mm_min(begin, *last);
}

#ifdef __cplusplus
}
#endif

#endif
