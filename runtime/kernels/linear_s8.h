/* Fully connected layer, int8: TFLite FULLY_CONNECTED (per tensor, or per channel as newer versions allow).
 *
 *   input [in_features]   weights [out_features][in_features], zero point 0   output [out_features]
 *
 *   output = clamp(requantise(bias + sum (input + input_offset) * weight) + output_offset, act_min, act_max)
 *
 * in_features ≤ 65,536. Input and output may not overlap.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_LINEAR_S8_H
#define MICROMIND_RUNTIME_KERNELS_LINEAR_S8_H

#include "common.h"
#include "dot_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t in_features, out_features;
  int32_t input_offset;     /* minus the input's zero point, -127…128 */
  int32_t output_offset;    /* the output's zero point, -128…127 */
  int32_t act_min, act_max; /* -128…127 */
  const int8_t* weights;
  const int32_t* bias;       /* [out_features], or NULL */
  const int32_t* multiplier; /* [out_features], or [1] when per_channel is 0; Q31 */
  const int8_t* shift;       /* likewise; positive to the left */
  int32_t per_channel;       /* 0: multiplier[0] and shift[0] serve all */
} mm_linear_s8_params;

static inline int8_t mm_linear_s8_finish(const mm_linear_s8_params* p, int32_t feature, int32_t sum) {
  const int32_t scale = p->per_channel ? feature : 0;
  const int32_t biased = p->bias ? mm_wrapping_add(sum, p->bias[feature]) : sum;
  return mm_requantize_s8(biased, p->multiplier[scale], p->shift[scale], p->output_offset, p->act_min,
                          p->act_max);
}

static inline void mm_linear_s8(const mm_linear_s8_params* p, const int8_t* input, int8_t* output) {
  const int32_t n = p->in_features;
  const int8_t* weights = p->weights;
  const int32_t fours = p->out_features & ~3; /* a bound that a compiler can follow when it is a constant */
  int32_t o = 0;
  for (; o < fours; o += 4) {
    int32_t sums[4] = {0, 0, 0, 0};
    mm_dot4_s8(input, weights, n, n, p->input_offset, sums);
    for (int32_t k = 0; k < 4; ++k) output[o + k] = mm_linear_s8_finish(p, o + k, sums[k]);
    weights += 4 * n;
  }
  for (; o < p->out_features; ++o) {
    output[o] = mm_linear_s8_finish(p, o, mm_dot_s8(input, weights, n, p->input_offset));
    weights += n;
  }
}

#ifdef __cplusplus
}
#endif

#endif
