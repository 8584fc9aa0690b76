/* Mean over height and width, int8: TFLite MEAN over axes 1 and 2.
 *
 *   input [in_h][in_w][channels]   output [channels]
 *
 * multiplier and shift stand for input scale / output scale; 1 / (in_h * in_w) is folded into them as
 * TFLite's QuantizedMeanOrSum does, by mm_mean_s8_fold. mm_mean_s8 folds on each call (a constant where the
 * parameters are constants); mm_mean_s8_folded takes them folded. in_h * in_w ≤ 2^22. Output may lie on the
 * input's first bytes.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MEAN_S8_H
#define MICROMIND_RUNTIME_KERNELS_MEAN_S8_H

#include "common.h"
#include "dsp.h"
#include "mve.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t in_h, in_w, channels;
  int32_t input_zero_point, output_zero_point;
  int32_t multiplier; /* Q31 */
  int32_t shift;      /* -31…31, positive to the left */
} mm_mean_s8_params;

/* multiplier * 2^shift / count as a multiplier and a shift no less than -31; count ≥ 1. */
static inline void mm_mean_s8_fold(int32_t count, int32_t multiplier, int32_t shift,
                                   int32_t* folded_multiplier, int32_t* folded_shift) {
  const int32_t bits = mm_min(31 - mm_leading_zeros((uint32_t)count), 31 + shift); /* floor(log2(count)) */
  *folded_multiplier = (int32_t)((int64_t)((uint64_t)multiplier << bits) / count);
  *folded_shift = shift - bits;
}

#if MM_HAS_DSP
/* Adds up four channels of all pixels; 255 of them fit halfwords. */
static inline void mm_mean_s8_sum4(const int8_t* x, int32_t pixels, int32_t step, int32_t* sums) {
  while (pixels > 0) {
    const int32_t some = mm_min(pixels, 255);
    uint32_t even = 0, odd = 0;
    for (int32_t i = 0; i < some; ++i, x += step) {
      const uint32_t word = mm_load_word(x);
      even = mm_add_even_bytes(even, word);
      odd = mm_add_odd_bytes(odd, word);
    }
    sums[0] += (int16_t)even;
    sums[1] += (int16_t)odd;
    sums[2] += (int16_t)(even >> 16);
    sums[3] += (int16_t)(odd >> 16);
    pixels -= some;
  }
}
#endif

/* multiplier and shift already hold 1 / count. */
static inline void mm_mean_s8_folded(const mm_mean_s8_params* p, const int8_t* input, int8_t* output) {
  const int32_t pixels = p->in_h * p->in_w;
#if MM_HAS_MVE
  for (int32_t channel = 0; channel < p->channels; channel += 4) {
    const int32_t some = mm_min(4, p->channels - channel);
    const int32x4_t sum = vsubq_n_s32(mm_mve_window_sum(input + channel, 1, pixels, 0, p->channels, some),
                                      p->input_zero_point * pixels);
    mm_mve_store(output + channel, mm_mve_requantize(sum, p->multiplier, p->shift), p->output_zero_point, vdupq_n_s32(-128),
                 vdupq_n_s32(127), vctp32q((uint32_t)some));
  }
#else
  int32_t channel = 0;
#if MM_HAS_DSP
  for (; channel + 4 <= p->channels; channel += 4) {
    int32_t sums[4] = {0, 0, 0, 0};
    mm_mean_s8_sum4(input + channel, pixels, p->channels, sums);
    for (int32_t k = 0; k < 4; ++k) {
      const int32_t sum = sums[k] - p->input_zero_point * pixels;
      output[channel + k] = mm_requantize_s8(sum, p->multiplier, p->shift, p->output_zero_point, -128, 127);
    }
  }
#endif
  for (; channel < p->channels; ++channel) {
    int32_t sum = -p->input_zero_point * pixels;
    for (int32_t pixel = 0; pixel < pixels; ++pixel) sum += input[pixel * p->channels + channel];
    output[channel] = mm_requantize_s8(sum, p->multiplier, p->shift, p->output_zero_point, -128, 127);
  }
#endif
}

static inline void mm_mean_s8(const mm_mean_s8_params* p, const int8_t* input, int8_t* output) {
  mm_mean_s8_params folded = *p;
  mm_mean_s8_fold(p->in_h * p->in_w, p->multiplier, p->shift, &folded.multiplier, &folded.shift);
  mm_mean_s8_folded(&folded, input, output);
}

#ifdef __cplusplus
}
#endif

#endif
