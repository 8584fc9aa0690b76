/* Depthwise convolution, int8, one multiplier a channel: TFLite DEPTHWISE_CONV_2D.
 *
 *   input   [in_h][in_w][in_c]      output  [out_h][out_w][out_c], out_c = in_c * depth multiplier
 *   weights [kernel_h][kernel_w][out_c], zero point 0
 *
 *   output = clamp(requantise(bias + sum (input + input_offset) * weight) + output_offset, act_min, act_max)
 *
 * Output channel o reads input channel o / multiplier. Padding adds nothing to the sum. Padding at the bottom
 * and right follows from out_h, out_w. Overlap: see "Order" in README.md.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_DEPTHWISE_CONV2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_DEPTHWISE_CONV2D_S8_H

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the one call of a model has constant parameters, GCC 12 believes that the loops over the channels that blocks of
 * four leave over may run 2^30 times. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Waggressive-loop-optimizations"
#endif

typedef struct {
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, out_c; /* out_c: a multiple of in_c */
  int32_t kernel_h, kernel_w;
  int32_t stride_h, stride_w;
  int32_t dilation_h, dilation_w;
  int32_t pad_top, pad_left;
  int32_t input_offset;     /* minus the input's zero point, -127…128 */
  int32_t output_offset;    /* the output's zero point, -128…127 */
  int32_t act_min, act_max; /* -128…127 */
  const int8_t* weights;
  const int32_t* bias;       /* [out_c], or NULL */
  const int32_t* multiplier; /* [out_c], Q31 */
  const int8_t* shift;       /* [out_c], positive to the left */
} mm_depthwise_conv2d_s8_params;

/* The window of one output pixel, clipped to the image. Strides are in bytes. */
typedef struct {
  const int8_t* input;   /* channel 0 of the first pixel inside the image */
  const int8_t* weights; /* channel 0 of the tap that meets it */
  int32_t rows, columns;
  int32_t input_row, input_column, weights_row, weights_column;
} mm_depthwise_conv2d_s8_window;

static inline int8_t mm_depthwise_conv2d_s8_finish(const mm_depthwise_conv2d_s8_params* p, int32_t channel,
                                                   int32_t sum) {
  const int32_t biased = p->bias ? mm_wrapping_add(sum, p->bias[channel]) : sum;
  return mm_requantize_s8(biased, p->multiplier[channel], p->shift[channel], p->output_offset, p->act_min,
                          p->act_max);
}

/* One channel of one pixel: for depth multipliers above 1, and for what blocks leave over. */
static inline int32_t mm_depthwise_conv2d_s8_sum(const mm_depthwise_conv2d_s8_window* window,
                                                 int32_t in_channel, int32_t out_channel, int32_t offset) {
  int32_t sum = 0;
  for (int32_t row = 0; row < window->rows; ++row) {
    const int8_t* input = window->input + row * window->input_row + in_channel;
    const int8_t* weights = window->weights + row * window->weights_row + out_channel;
    for (int32_t column = 0; column < window->columns; ++column) {
      sum += (input[column * window->input_column] + offset) * weights[column * window->weights_column];
    }
  }
  return sum;
}

/* Four neighbouring channels, their sums in registers, depth multiplier 1. */
static inline void mm_depthwise_conv2d_s8_sum4(const mm_depthwise_conv2d_s8_window* window, int32_t channel,
                                               int32_t offset, int32_t* sums) {
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int32_t row = 0; row < window->rows; ++row) {
    const int8_t* input = window->input + row * window->input_row + channel;
    const int8_t* weights = window->weights + row * window->weights_row + channel;
    for (int32_t column = 0; column < window->columns; ++column) {
      const int8_t* x = input + column * window->input_column;
      const int8_t* w = weights + column * window->weights_column;
      s0 += (x[0] + offset) * w[0];
      s1 += (x[1] + offset) * w[1];
      s2 += (x[2] + offset) * w[2];
      s3 += (x[3] + offset) * w[3];
    }
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

#if MM_HAS_VECTORS
#define MM_DEPTHWISE_BLOCK 16
/* Sixteen neighbouring channels at once, depth multiplier 1. */
static inline void mm_depthwise_conv2d_s8_block(const mm_depthwise_conv2d_s8_window* window, int32_t channel,
                                                int32_t offset, int32_t* sums) {
  int32_t local[MM_DEPTHWISE_BLOCK] = {0};
  for (int32_t row = 0; row < window->rows; ++row) {
    for (int32_t column = 0; column < window->columns; ++column) {
      const int8_t* input = window->input + row * window->input_row + column * window->input_column + channel;
      const int8_t* weights =
          window->weights + row * window->weights_row + column * window->weights_column + channel;
      for (int32_t k = 0; k < MM_DEPTHWISE_BLOCK; ++k) {
        local[k] += (mm_factor)(input[k] + offset) * (mm_factor)weights[k];
      }
    }
  }
  for (int32_t k = 0; k < MM_DEPTHWISE_BLOCK; ++k) sums[k] = local[k];
}
#endif

/* All channels of one output pixel. */
static inline void mm_depthwise_conv2d_s8_pixel(const mm_depthwise_conv2d_s8_params* p,
                                                const mm_depthwise_conv2d_s8_window* window, int8_t* output) {
  const int32_t depth_multiplier = p->out_c / p->in_c;
  int32_t o = 0;
#if MM_HAS_VECTORS
  if (depth_multiplier == 1) {
    for (; o + MM_DEPTHWISE_BLOCK <= p->out_c; o += MM_DEPTHWISE_BLOCK) {
      int32_t sums[MM_DEPTHWISE_BLOCK];
      mm_depthwise_conv2d_s8_block(window, o, p->input_offset, sums);
      for (int32_t k = 0; k < MM_DEPTHWISE_BLOCK; ++k) {
        output[o + k] = mm_depthwise_conv2d_s8_finish(p, o + k, sums[k]);
      }
    }
  }
#endif
  if (depth_multiplier == 1) {
    for (; o + 4 <= p->out_c; o += 4) {
      int32_t sums[4];
      mm_depthwise_conv2d_s8_sum4(window, o, p->input_offset, sums);
      for (int32_t k = 0; k < 4; ++k) output[o + k] = mm_depthwise_conv2d_s8_finish(p, o + k, sums[k]);
    }
    for (; o < p->out_c; ++o) {
      output[o] =
          mm_depthwise_conv2d_s8_finish(p, o, mm_depthwise_conv2d_s8_sum(window, o, o, p->input_offset));
    }
    return;
  }
  for (int32_t channel = 0; channel < p->in_c; ++channel) {
    for (int32_t k = 0; k < depth_multiplier; ++k, ++o) {
      output[o] = mm_depthwise_conv2d_s8_finish(
          p, o, mm_depthwise_conv2d_s8_sum(window, channel, o, p->input_offset));
    }
  }
}

static inline void mm_depthwise_conv2d_s8(const mm_depthwise_conv2d_s8_params* p, const int8_t* input,
                                          int8_t* output) {
  mm_depthwise_conv2d_s8_window window;
  window.input_row = p->dilation_h * p->in_w * p->in_c;
  window.input_column = p->dilation_w * p->in_c;
  window.weights_row = p->kernel_w * p->out_c;
  window.weights_column = p->out_c;
  for (int32_t y = 0; y < p->out_h; ++y) {
    const int32_t top = y * p->stride_h - p->pad_top;
    int32_t first_row, last_row;
    mm_clip_window(top, p->in_h, p->kernel_h, p->dilation_h, &first_row, &last_row);
    for (int32_t x = 0; x < p->out_w; ++x) {
      const int32_t left = x * p->stride_w - p->pad_left;
      int32_t first, last;
      mm_clip_window(left, p->in_w, p->kernel_w, p->dilation_w, &first, &last);
      window.rows = last_row - first_row;
      window.columns = last - first;
      window.input = input;
      window.weights = p->weights;
      if (window.rows == 0 || window.columns == 0) { /* wholly in the padding */
        window.rows = 0;
      } else {
        window.input +=
            ((top + first_row * p->dilation_h) * p->in_w + left + first * p->dilation_w) * p->in_c;
        window.weights += (first_row * p->kernel_w + first) * p->out_c;
      }
      mm_depthwise_conv2d_s8_pixel(p, &window, output);
      output += p->out_c;
    }
  }
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#ifdef __cplusplus
}
#endif

#endif
