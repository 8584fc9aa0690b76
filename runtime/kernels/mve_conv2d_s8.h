/* Convolution for cores with the vector extension, on weights laid out for it (mve_s8.h).
 *
 * The bytes are those of conv2d_s8.h, whose parameter struct serves here too; only `weights` differs, which hold bias,
 * multipliers and shifts. Two windows at a time are copied together, rows behind rows, the padding as zero points; every
 * output channel then reads them. Both pixels are read before either is written. Of a grouped convolution the windows lie group
 * behind group, each on whole vectors, and so do the weights.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MVE_CONV2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_MVE_CONV2D_S8_H

#include "conv2d_s8.h"
#include "mve_s8.h"

#define MM_MVE_MOST_PAIRED 1024 /* bytes of a window (rounded up to 16) of which two are held */

#if MM_HAS_MVE

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of a window, or what of them lies in the image; both at least 1. */
typedef struct {
  int32_t rows, bytes;
  int32_t gap, back; /* a loop moves both pointers by whole vectors: on to the next row of the image, back to that of the window */
} mm_mve_rows;

static inline mm_mve_rows mm_mve_rows_of(int32_t rows, int32_t bytes, int32_t from_step, int32_t to_step) {
  const int32_t moved = (bytes + 15) & ~15;
  const mm_mve_rows r = {rows, bytes, from_step - moved, moved - to_step};
  return r;
}

/* r0: rows, r1: the image, r2: the window. */
MM_MVE_ASSEMBLY void mm_mve_copy_rows(const mm_mve_rows* rows __attribute__((unused)), const int8_t* from __attribute__((unused)),
                                      int8_t* to __attribute__((unused))) {
  __asm__ volatile(
      ".syntax unified           \n"
      "push     {r4-r6, lr}      \n"
      "ldm      r0, {r3-r6}      \n"
      "1:                        \n"
      "dlstp.8  lr, r4           \n"
      "2:                        \n"
      "vldrb.8  q0, [r1], #16    \n"
      "vstrb.8  q0, [r2], #16    \n"
      "letp     lr, 2b           \n"
      "subs     r3, r3, #1       \n"
      "add      r1, r1, r5       \n"
      "sub      r2, r2, r6       \n"
      "bne      1b               \n"
      "pop      {r4-r6, pc}      \n");
}

/* A window that padding, dilation or groups break up. */
MM_MVE_APART void mm_mve_broken_window(const mm_conv2d_s8_params* p, const int8_t* input, int32_t top, int32_t left,
                                       int8_t* to) {
  const int32_t runs = p->dilation_w > 1 || p->groups > 1 ? p->kernel_w : 1, columns = p->kernel_w / runs;
  const int32_t channels = p->in_c / p->groups, row = p->kernel_w * channels, step = (p->kernel_h * row + 15) & ~15;
  const int32_t row_step = p->dilation_h * p->in_w * p->in_c;
  int32_t first_row, last_row;
  mm_clip_window(top, p->in_h, p->kernel_h, p->dilation_h, &first_row, &last_row);
  mm_mve_fill(to, -p->input_offset, p->groups * step);
  if (first_row >= last_row) return;
  to += first_row * row;
  for (int32_t run = 0; run < runs; ++run, left += p->dilation_w, to += channels) {
    const int32_t begin = mm_max(-left, 0), end = mm_min(p->in_w - left, columns);
    if (begin < end) {
      const mm_mve_rows rows = mm_mve_rows_of(last_row - first_row, (end - begin) * channels, row_step, row);
      const int8_t* const from = input + ((top + first_row * p->dilation_h) * p->in_w + left + begin) * p->in_c;
      for (int32_t g = 0; g < p->groups; ++g) {
        mm_mve_copy_rows(&rows, from + g * channels, to + g * step + begin * channels);
      }
    }
  }
}

/* All groups of one pixel or (output1 not NULL) two. */
MM_MVE_APART void mm_mve_groups(const mm_conv2d_s8_params* p, mm_mve_job* job, mm_mve_run* run, int8_t* output0, int8_t* output1) {
  const int32_t channels = p->out_c / p->groups, step = 16 * (job->more_steps + 1);
  const int8_t *const x0 = job->x0, *const x1 = job->x1, *weights = p->weights;
  for (int32_t g = 0; g < p->groups; ++g, output0 += channels) {
    mm_mve_pixels(job, run, weights, channels, output0, output1, MM_MVE_CONSTANTS);
    if (output1 != NULL) output1 += channels;
    weights += (channels + 3) / 4 * (4 * step + MM_MVE_CONSTANTS);
    job->x0 += step;
    job->x1 += step;
  }
  job->x0 = x0;
  job->x1 = x1;
}

static inline void mm_mve_conv2d_s8_pixels(const mm_conv2d_s8_params* p, mm_mve_job* job, mm_mve_run* run, int8_t* output0,
                                           int8_t* output1) {
  if (p->groups > 1) {
    mm_mve_groups(p, job, run, output0, output1);
  } else {
    mm_mve_pixels(job, run, p->weights, p->out_c, output0, output1, MM_MVE_CONSTANTS);
  }
}

/* columns: scratch for a window of all groups (kernel_h * kernel_w * in_c / groups bytes, rounded up to 16, for each), and for
 * another one up to MM_MVE_MOST_PAIRED. The layer is one that micromind/deploy/pack_mve.h packs. */
static inline void mm_mve_conv2d_s8(const mm_conv2d_s8_params* p, const int8_t* input, int8_t* output, uint32_t* columns) {
  const int32_t row = p->kernel_w * p->in_c / p->groups, step = (p->kernel_h * row + 15) & ~15, window = p->groups * step;
  const int32_t second = window <= MM_MVE_MOST_PAIRED ? window : 0; /* where it lies */
  const int32_t row_step = p->dilation_h * p->in_w * p->in_c;
  const int32_t last_top = p->in_h - (p->kernel_h - 1) * p->dilation_h;
  const uint32_t lefts = p->dilation_w > 1 || p->groups > 1 || p->in_w < p->kernel_w ? 0 : (uint32_t)(p->in_w - p->kernel_w + 1); /* of whole windows */
  mm_mve_run* const two = p->act_min >= p->output_offset ? mm_mve_two_pixels_relu : mm_mve_two_pixels;
  const mm_mve_rows rows = mm_mve_rows_of(p->kernel_h, row, row_step, row);
  int8_t *const begin = output, *const columns0 = (int8_t*)columns;
  int32_t held = 0;
  mm_mve_job job;
  job.x0 = columns0;
  job.x1 = columns0 + window;
  job.more_steps = step / 16 - 1;
  job.output_offset = p->output_offset;
  for (int32_t y = 0; y < p->out_h; ++y) {
    const int32_t top = y * p->stride_h - p->pad_top;
    const uint32_t row_lefts = top >= 0 && top < last_top ? lefts : 0;
    const int8_t* const x_row = input + top * p->in_w * p->in_c;
    int32_t left = -p->pad_left;
    for (int32_t x = p->out_w; x > 0; --x, left += p->stride_w) {
      if ((uint32_t)left < row_lefts) {
        mm_mve_copy_rows(&rows, x_row + left * p->in_c, columns0 + held);
      } else {
        mm_mve_broken_window(p, input, top, left, columns0 + held);
      }
      if (held == 0 && second != 0) { /* its neighbour first */
        held = second;
        continue;
      }
      held = 0;
      if (second != 0) {
        mm_mve_conv2d_s8_pixels(p, &job, two, output, output + p->out_c);
        output += p->out_c;
      } else {
        mm_mve_conv2d_s8_pixels(p, &job, mm_mve_one_pixel, output, NULL);
      }
      output += p->out_c;
    }
  }
  if (held != 0) {
    mm_mve_conv2d_s8_pixels(p, &job, mm_mve_one_pixel, output, NULL);
    output += p->out_c;
  }
  mm_mve_clamp_all(begin, (int32_t)(output - begin), p->act_min, p->act_max);
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_MVE */

#endif
