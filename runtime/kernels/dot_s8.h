/* Dot products of int8 vectors: the inner loops of conv2d_s8 and linear_s8.
 *
 * sum over i of (x[i] + offset) * w[i], offset = minus the zero point of x (-127…128). Written so that a
 * compiler with vectors uses its multiply-add of 16-bit pairs, and so that a small core loads an activation
 * once for four weights. n ≤ 65,536 keeps every sum within 32 bits.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_DOT_S8_H
#define MICROMIND_RUNTIME_KERNELS_DOT_S8_H

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline int32_t mm_dot_s8(const int8_t* x, const int8_t* w, int32_t n, int32_t offset) {
  int32_t sum = 0;
  for (int32_t i = 0; i < n; ++i) {
    const mm_factor value = (mm_factor)(x[i] + offset);
    sum += value * (mm_factor)w[i];
  }
  return sum;
}

/* Adds to sums[0…3] the dot products with four rows of weights, w_stride bytes apart. */
static inline void mm_dot4_s8(const int8_t* x, const int8_t* w, int32_t w_stride, int32_t n, int32_t offset,
                              int32_t* sums) {
  const int8_t* w0 = w;
  const int8_t* w1 = w0 + w_stride;
  const int8_t* w2 = w1 + w_stride;
  const int8_t* w3 = w2 + w_stride;
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int32_t i = 0; i < n; ++i) {
    const mm_factor value = (mm_factor)(x[i] + offset);
    s0 += value * (mm_factor)w0[i];
    s1 += value * (mm_factor)w1[i];
    s2 += value * (mm_factor)w2[i];
    s3 += value * (mm_factor)w3[i];
  }
  sums[0] += s0;
  sums[1] += s1;
  sums[2] += s2;
  sums[3] += s3;
}

#ifdef __cplusplus
}
#endif

#endif
