/* Two-dimensional convolution, int8, one multiplier a channel: TFLite CONV_2D (grouped convolutions
 * included).
 *
 *   input   [in_h][in_w][in_c]      output  [out_h][out_w][out_c]
 *   weights [out_c][kernel_h][kernel_w][in_c / groups], zero point 0
 *
 *   output = clamp(requantise(bias + sum (input + input_offset) * weight) + output_offset, act_min, act_max)
 *
 * Output channel o reads the input channels of group o / (out_c / groups). Padding adds nothing to the sum
 * (it is the zero point). out_h, out_w are the caller's: padding at the bottom and right follows from them,
 * any amount. kernel_h * kernel_w * in_c / groups ≤ 65,536. Overlap: see "Order" in README.md.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_CONV2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_CONV2D_S8_H

#include "common.h"
#include "dot_s8.h"

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
  int32_t out_h, out_w, out_c;
  int32_t kernel_h, kernel_w;
  int32_t stride_h, stride_w;
  int32_t dilation_h, dilation_w;
  int32_t pad_top, pad_left;
  int32_t groups;           /* divides in_c and out_c */
  int32_t input_offset;     /* minus the input's zero point, -127…128 */
  int32_t output_offset;    /* the output's zero point, -128…127 */
  int32_t act_min, act_max; /* -128…127 */
  const int8_t* weights;
  const int32_t* bias;       /* [out_c], or NULL */
  const int32_t* multiplier; /* [out_c], Q31 */
  const int8_t* shift;       /* [out_c], positive to the left */
} mm_conv2d_s8_params;

/* Bias, requantisation and clamp of one channel's sum. */
static inline int8_t mm_conv2d_s8_finish(const mm_conv2d_s8_params* p, int32_t channel, int32_t sum) {
  const int32_t biased = p->bias ? mm_wrapping_add(sum, p->bias[channel]) : sum;
  return mm_requantize_s8(biased, p->multiplier[channel], p->shift[channel], p->output_offset, p->act_min,
                          p->act_max);
}

static inline int mm_conv2d_s8_is_pointwise(const mm_conv2d_s8_params* p) {
  return p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1 && p->pad_top == 0 &&
         p->pad_left == 0 && p->groups == 1 && p->out_h == p->in_h && p->out_w == p->in_w;
}

/* Kernel 1x1, stride 1, no padding, one group: a matrix product over the pixels. */
static inline void mm_pointwise_conv2d_s8(const mm_conv2d_s8_params* p, const int8_t* input, int8_t* output) {
  const int32_t depth = p->in_c;
  const int32_t pixels = p->in_h * p->in_w;
  for (int32_t pixel = 0; pixel < pixels; ++pixel) {
    const int8_t* weights = p->weights;
    int32_t o = 0;
    for (; o + 4 <= p->out_c; o += 4) {
      int32_t sums[4] = {0, 0, 0, 0};
      mm_dot4_s8(input, weights, depth, depth, p->input_offset, sums);
      for (int32_t k = 0; k < 4; ++k) output[o + k] = mm_conv2d_s8_finish(p, o + k, sums[k]);
      weights += 4 * depth;
    }
    for (; o < p->out_c; ++o) {
      output[o] = mm_conv2d_s8_finish(p, o, mm_dot_s8(input, weights, depth, p->input_offset));
      weights += depth;
    }
    input += depth;
    output += p->out_c;
  }
}

/* The window of one output pixel, clipped to the image: rows × runs of bytes that lie side by side. */
typedef struct {
  const int8_t* input; /* first byte inside the image */
  int32_t weights;     /* offset of the weight that meets it, within a channel's filter */
  int32_t rows, input_row, weights_row;
  int32_t runs, input_run, weights_run;
  int32_t length; /* bytes in a run */
} mm_conv2d_s8_window;

static inline int32_t mm_conv2d_s8_sum(const mm_conv2d_s8_window* window, const int8_t* input,
                                       const int8_t* filter, int32_t offset) {
  int32_t sum = 0;
  for (int32_t row = 0; row < window->rows; ++row) {
    for (int32_t run = 0; run < window->runs; ++run) {
      sum +=
          mm_dot_s8(input + row * window->input_row + run * window->input_run,
                    filter + row * window->weights_row + run * window->weights_run, window->length, offset);
    }
  }
  return sum;
}

static inline void mm_conv2d_s8_sum4(const mm_conv2d_s8_window* window, const int8_t* input,
                                     const int8_t* filter, int32_t filter_size, int32_t offset,
                                     int32_t* sums) {
  for (int32_t row = 0; row < window->rows; ++row) {
    for (int32_t run = 0; run < window->runs; ++run) {
      mm_dot4_s8(input + row * window->input_row + run * window->input_run,
                 filter + row * window->weights_row + run * window->weights_run, filter_size, window->length,
                 offset, sums);
    }
  }
}

/* All channels of one output pixel. */
static inline void mm_conv2d_s8_pixel(const mm_conv2d_s8_params* p, const mm_conv2d_s8_window* window,
                                      int8_t* output) {
  const int32_t group_in = p->in_c / p->groups;
  const int32_t group_out = p->out_c / p->groups;
  const int32_t filter_size = p->kernel_h * p->kernel_w * group_in;
  for (int32_t group = 0; group < p->groups; ++group) {
    const int8_t* input = window->input + group * group_in;
    const int32_t end = (group + 1) * group_out;
    int32_t o = group * group_out;
    for (; o + 4 <= end; o += 4) {
      int32_t sums[4] = {0, 0, 0, 0};
      mm_conv2d_s8_sum4(window, input, p->weights + o * filter_size + window->weights, filter_size,
                        p->input_offset, sums);
      for (int32_t k = 0; k < 4; ++k) output[o + k] = mm_conv2d_s8_finish(p, o + k, sums[k]);
    }
    for (; o < end; ++o) {
      const int32_t sum =
          mm_conv2d_s8_sum(window, input, p->weights + o * filter_size + window->weights, p->input_offset);
      output[o] = mm_conv2d_s8_finish(p, o, sum);
    }
  }
}

static inline void mm_conv2d_s8(const mm_conv2d_s8_params* p, const int8_t* input, int8_t* output) {
  const int32_t group_in = p->in_c / p->groups;
  const int contiguous = p->groups == 1 && p->dilation_w == 1;
  mm_conv2d_s8_window window;
  if (mm_conv2d_s8_is_pointwise(p)) {
    mm_pointwise_conv2d_s8(p, input, output);
    return;
  }
  window.input_row = p->dilation_h * p->in_w * p->in_c;
  window.weights_row = p->kernel_w * group_in;
  window.input_run = p->dilation_w * p->in_c;
  window.weights_run = group_in;
  for (int32_t y = 0; y < p->out_h; ++y) {
    const int32_t top = y * p->stride_h - p->pad_top;
    int32_t first_row, last_row;
    mm_clip_window(top, p->in_h, p->kernel_h, p->dilation_h, &first_row, &last_row);
    window.rows = last_row - first_row;
    for (int32_t x = 0; x < p->out_w; ++x) {
      const int32_t left = x * p->stride_w - p->pad_left;
      int32_t first, last;
      mm_clip_window(left, p->in_w, p->kernel_w, p->dilation_w, &first, &last);
      if (window.rows == 0 || first == last) { /* wholly in the padding: no byte of the image is touched */
        window.input = input;
        window.weights = 0;
        window.runs = 0;
        window.length = 0;
      } else {
        window.input =
            input + ((top + first_row * p->dilation_h) * p->in_w + left + first * p->dilation_w) * p->in_c;
        window.weights = (first_row * p->kernel_w + first) * group_in;
        window.runs = contiguous ? 1 : last - first;
        window.length = contiguous ? (last - first) * group_in : group_in;
      }
      mm_conv2d_s8_pixel(p, &window, output);
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
