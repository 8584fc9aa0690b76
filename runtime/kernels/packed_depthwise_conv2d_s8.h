/* Depthwise convolution with depth multiplier 1 for cores with the DSP extension, on weights laid out for it.
 *
 * The bytes are those of depthwise_conv2d_s8.h, whose parameter struct serves here too; `weights` holds all constants, and
 * bias, multiplier and shift are not read. Taps are taken in pairs, so that one dual product serves two of them. Channels
 * lie in groups of four a, b, c, d, filled up with zeros; a group is one stream, read from its begin to its end:
 *
 *   int32_t bias[4]; int16_t weights[pairs][4][2]; int32_t multiplier[4]; int32_t factor[4]
 *
 * Weights and bias are doubled. bias holds input_offset times the sum of the weights, too, so that bytes are multiplied as they
 * are; those of the padding are the input's zero point, read from a small array. factor as in packed_s8.h. 3×3 kernels have an order of their own.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_PACKED_DEPTHWISE_CONV2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_PACKED_DEPTHWISE_CONV2D_S8_H

#include "depthwise_conv2d_s8.h"
#include "dsp.h"

#define MM_PACKED_PADDING 128 /* channels that the array of zero points holds */

#ifdef __cplusplus
extern "C" {
#endif

/* Where a 3×3 kernel's taps (row by row) lie in the stream, which begins with what lies below each other; those of others lie in
 * their order. */
static const uint8_t mm_packed_depthwise_place[9] = {6, 0, 2, 7, 1, 3, 8, 4, 5};

/* Scratch in words: where taps lie, zero points, the last channels of a window. */
static inline int32_t mm_packed_depthwise_conv2d_s8_scratch(const mm_depthwise_conv2d_s8_params* p) {
  const int32_t taps = (p->kernel_h * p->kernel_w + 1) / 2 * 2;
  return taps + MM_PACKED_PADDING / 4 + (p->out_c % 4 != 0 ? taps : 0);
}

#ifdef __cplusplus
}
#endif

#if MM_HAS_DSP

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int8_t* output;        /*  0 */
  const int8_t* end;     /*  4: behind the last group's output */
  int32_t output_offset; /*  8 */
  const int8_t* table;   /* 12: NULL, or what every output byte is replaced by: address of the entry of 0 */
  const int8_t* stream;  /* 16 */
  int32_t column, row;   /* 20, 24: bytes from tap to tap of a 3×3 kernel */
  const int32_t* taps;   /* 28: where they lie, from the window's corner on; an even number */
  int32_t pairs;         /* 32 */
} mm_packed_depthwise_job;

/* Four channels of two taps, r9 and r10. r1: weights; r4-r7: sums. */
#define MM_DEPTHWISE_PRODUCTS               \
  "ldrd    r11, r12, [r1], #8       \n"     \
  "pkhbt   lr, r9, r10, lsl #16     \n"     \
  "pkhtb   r10, r10, r9, asr #16    \n"     \
  "sxtb16  r9, lr                   \n"     \
  "sxtb16  lr, lr, ror #8           \n"     \
  "smlad   r4, r9, r11, r4          \n"     \
  "smlad   r5, lr, r12, r5          \n"     \
  "ldrd    r11, r12, [r1], #8       \n"     \
  "sxtb16  r9, r10                  \n"     \
  "sxtb16  r10, r10, ror #8         \n"     \
  "smlad   r6, r9, r11, r6          \n"     \
  "smlad   r7, r10, r12, r7         \n"
#define MM_DEPTHWISE_PAIR(x, y)             \
  "ldr     r9, " x "                \n"     \
  "ldr     r10, " y "               \n"     \
  MM_DEPTHWISE_PRODUCTS

/* The job's first four words go onto the stack; r1: the stream. */
#define MM_DEPTHWISE_BEGIN                  \
  ".syntax unified                  \n"     \
  "push    {r4-r11, lr}             \n"     \
  "ldm     r0, {r4-r12}             \n"     \
  "push    {r4-r7, r11, r12}        \n"     \
  "mov     r0, r1                   \n"     \
  "mov     r1, r8                   \n"

/* Requantisation of four sums; on to the next group at label 1. */
#define MM_DEPTHWISE_FINISH                 \
  "ldm     r1!, {r9, r10, r11, r12} \n"     \
  "smmulr  r4, r4, r9               \n"     \
  "smmulr  r5, r5, r10              \n"     \
  "smmulr  r6, r6, r11              \n"     \
  "smmulr  r7, r7, r12              \n"     \
  "ldm     r1!, {r9, r10, r11, r12} \n"     \
  "lsls    lr, r9, #31              \n"     \
  "beq     7f                       \n"     \
  "8:                               \n"     \
  "ldr     lr, [sp, #8]             \n"     \
  "smmlar  r4, r4, r9, lr           \n"     \
  "smmlar  r5, r5, r10, lr          \n"     \
  "smmlar  r6, r6, r11, lr          \n"     \
  "smmlar  r7, r7, r12, lr          \n"     \
  "ldrd    r9, r11, [sp]            \n"     \
  "ldr     r12, [sp, #12]           \n"     \
  "ssat    r4, #8, r4               \n"     \
  "ssat    r5, #8, r5               \n"     \
  "ssat    r6, #8, r6               \n"     \
  "ssat    r7, #8, r7               \n"     \
  "cmp     r12, #0                  \n"     \
  "bne     9f                       \n"     \
  "5:                               \n"     \
  "bfi     r4, r5, #8, #8           \n"     \
  "bfi     r4, r6, #16, #8          \n"     \
  "bfi     r4, r7, #24, #8          \n"     \
  "str     r4, [r9], #4             \n"     \
  "cmp     r9, r11                  \n"     \
  "str     r9, [sp]                 \n"     \
  "bne     1b                       \n"     \
  "mov     r0, r1                   \n"     \
  "add     sp, sp, #24              \n"     \
  "pop     {r4-r11, pc}             \n"     \
  "9:                               \n"     \
  "ldrsb   r4, [r12, r4]            \n"     \
  "ldrsb   r5, [r12, r5]            \n"     \
  "ldrsb   r6, [r12, r6]            \n"     \
  "ldrsb   r7, [r12, r7]            \n"     \
  "b       5b                       \n"     \
  "7:                               \n" /* a large shift: ties go away from zero */ \
  "add     r4, r4, r4, asr #31      \n"     \
  "add     r5, r5, r5, asr #31      \n"     \
  "add     r6, r6, r6, asr #31      \n"     \
  "add     r7, r7, r7, asr #31      \n"     \
  "b       8b                       \n"

/* All groups of one output pixel of a 3×3 kernel whose window lies in the image. Returns where the stream goes on. */
MM_ASSEMBLY const int8_t* mm_packed_depthwise_three(const mm_packed_depthwise_job* job __attribute__((unused)),
                                                    const int8_t* corner __attribute__((unused))) {
  __asm__ volatile(
      MM_DEPTHWISE_BEGIN
      "mov     r8, r9                   \n"
      "add     r2, r0, r10              \n"
      "add     r3, r2, r10              \n"
      "1:                               \n"
      "ldm     r1!, {r4-r7}             \n"
      MM_DEPTHWISE_PAIR("[r0, r8]", "[r2, r8]")
      MM_DEPTHWISE_PAIR("[r0, r8, lsl #1]", "[r2, r8, lsl #1]")
      MM_DEPTHWISE_PAIR("[r3, r8]", "[r3, r8, lsl #1]")
      MM_DEPTHWISE_PAIR("[r0], #4", "[r2], #4")
      "ldr     r10, [r3], #4            \n"
      "ldrd    r11, r12, [r1], #8       \n"
      "sxtb16  r9, r10                  \n"
      "sxtb16  r10, r10, ror #8         \n"
      "smlabb  r4, r9, r11, r4          \n"
      "smlabb  r5, r10, r12, r5         \n"
      "ldrd    r11, r12, [r1], #8       \n"
      "smlatb  r6, r9, r11, r6          \n"
      "smlatb  r7, r10, r12, r7         \n"
      MM_DEPTHWISE_FINISH);
}

/* The same for any kernel and window, by job->taps. */
MM_ASSEMBLY const int8_t* mm_packed_depthwise_any(const mm_packed_depthwise_job* job __attribute__((unused)),
                                                  const int8_t* corner __attribute__((unused))) {
  __asm__ volatile(
      MM_DEPTHWISE_BEGIN
      "1:                               \n"
      "ldm     r1!, {r4-r7}             \n"
      "ldrd    r2, r3, [sp, #16]        \n"
      "2:                               \n"
      "ldrd    r9, r10, [r2], #8        \n"
      "ldr     r9, [r0, r9]             \n"
      "ldr     r10, [r0, r10]           \n"
      MM_DEPTHWISE_PRODUCTS
      "subs    r3, r3, #1               \n"
      "bne     2b                       \n"
      "add     r0, r0, #4               \n"
      MM_DEPTHWISE_FINISH);
}

typedef struct {
  int32_t first_row, last_row, first, last; /* of the window, inside the image */
  int32_t *taps, count, pairs;
  int8_t* zeros;
  uint32_t* words; /* of the last channels */
} mm_packed_depthwise_window;

/* Where the taps of the window with that corner lie. */
MM_APART void mm_packed_depthwise_find(const mm_depthwise_conv2d_s8_params* p, const mm_packed_depthwise_window* w,
                                       const int8_t* corner) {
  const int32_t padding = (int32_t)((uintptr_t)w->zeros - (uintptr_t)corner);
  const int32_t row_step = p->dilation_h * p->in_w * p->in_c, column_step = p->dilation_w * p->in_c;
  const int three = p->kernel_h == 3 && p->kernel_w == 3;
  int32_t tap = 0;
  for (int32_t i = 0; i < p->kernel_h; ++i) {
    const int row = i >= w->first_row && i < w->last_row;
    int32_t at = i * row_step;
    for (int32_t k = 0; k < p->kernel_w; ++k, ++tap, at += column_step) {
      w->taps[three ? mm_packed_depthwise_place[tap] : tap] = row && k >= w->first && k < w->last ? at : padding;
    }
  }
  w->taps[2 * w->pairs - 1] = w->taps[w->count - 1]; /* the last of an odd number has a partner of zero weights */
}

/* Channels that do not fill a group: of the window with the image's last pixel byte by byte, since no word may be read behind
 * it. */
MM_APART void mm_packed_depthwise_last(const mm_packed_depthwise_job* job, const mm_packed_depthwise_window* w,
                                       const int8_t* corner, int32_t rest, const int8_t* stream, int three, int careful,
                                       int8_t* output) {
  mm_packed_depthwise_job last = *job;
  int8_t bytes[4];
  last.output = bytes;
  last.end = bytes + 4;
  last.stream = stream;
  if (careful) {
    for (int32_t t = 0; t < 2 * w->pairs; ++t) {
      const int8_t* x = (const int8_t*)((uintptr_t)corner + (uintptr_t)(intptr_t)w->taps[t]);
      uint32_t word = (uint8_t)x[0];
      if (rest > 1) word |= (uint32_t)(uint8_t)x[1] << 8;
      if (rest > 2) word |= (uint32_t)(uint8_t)x[2] << 16;
      w->words[t] = word;
    }
    for (int32_t t = 0; t < 2 * w->pairs; ++t) w->taps[t] = 4 * t;
    corner = (const int8_t*)w->words;
  }
  if (three && !careful) {
    mm_packed_depthwise_three(&last, corner);
  } else {
    mm_packed_depthwise_any(&last, corner);
  }
  for (int32_t k = 0; k < rest; ++k) output[k] = bytes[k];
}

/* columns: scratch of mm_packed_depthwise_conv2d_s8_scratch words. table: see packed_conv2d_s8.h. */
static inline void mm_packed_depthwise_conv2d_s8(const mm_depthwise_conv2d_s8_params* p, const int8_t* input, int8_t* output,
                                                 const int8_t* table, uint32_t* columns) {
  const int32_t channels = p->out_c, full = channels & ~3, rest = channels & 3;
  const int three = p->kernel_h == 3 && p->kernel_w == 3;
  mm_packed_depthwise_window w;
  mm_packed_depthwise_job job;
  int known = 0; /* taps are those of a window inside the image */
  w.count = p->kernel_h * p->kernel_w;
  w.pairs = (w.count + 1) / 2;
  w.taps = (int32_t*)columns;
  w.zeros = (int8_t*)(w.taps + 2 * w.pairs);
  w.words = (uint32_t*)(w.zeros + MM_PACKED_PADDING);
  memset(w.zeros, -p->input_offset, MM_PACKED_PADDING);
  job.output_offset = p->output_offset;
  job.table = table;
  job.column = p->dilation_w * channels;
  job.row = p->dilation_h * p->in_w * channels;
  job.taps = w.taps;
  job.pairs = w.pairs;
  for (int32_t y = 0; y < p->out_h; ++y) {
    const int32_t top = y * p->stride_h - p->pad_top;
    int32_t left = -p->pad_left, whole_rows;
    mm_clip_window(top, p->in_h, p->kernel_h, p->dilation_h, &w.first_row, &w.last_row);
    whole_rows = w.last_row - w.first_row == p->kernel_h;
    for (int32_t x = 0; x < p->out_w; ++x, left += p->stride_w, output += channels) {
      const int whole = whole_rows && left >= 0 && left + (p->kernel_w - 1) * p->dilation_w < p->in_w;
      const int8_t* corner = (const int8_t*)((uintptr_t)input + (uintptr_t)(intptr_t)((top * p->in_w + left) * channels));
      const int8_t* stream = p->weights;
      /* the window has the image's last pixel in it */
      const int careful = rest > 0 && top + (w.last_row - 1) * p->dilation_h == p->in_h - 1 &&
                          left + (p->kernel_w - 1) * p->dilation_w >= p->in_w - 1;
      job.output = output;
      job.end = output + full;
      job.stream = stream;
      if (whole) {
        if ((!three || careful) && !known) {
          w.first = 0;
          w.last = p->kernel_w;
          mm_packed_depthwise_find(p, &w, corner);
          known = 1;
        }
        if (full > 0) stream = three ? mm_packed_depthwise_three(&job, corner) : mm_packed_depthwise_any(&job, corner);
      } else {
        known = 0;
        mm_clip_window(left, p->in_w, p->kernel_w, p->dilation_w, &w.first, &w.last);
        for (int32_t done = 0; done < full; done += MM_PACKED_PADDING) {
          mm_packed_depthwise_find(p, &w, corner + done);
          job.output = output + done;
          job.end = job.output + mm_min(full - done, MM_PACKED_PADDING);
          job.stream = stream = mm_packed_depthwise_any(&job, corner + done);
        }
        if (rest > 0) mm_packed_depthwise_find(p, &w, corner + full);
      }
      if (rest > 0) {
        mm_packed_depthwise_last(&job, &w, corner + full, rest, stream, three && whole, careful, output + full);
        if (careful) known = 0;
      }
    }
  }
  mm_clamp_all(output - p->out_h * p->out_w * channels, p->out_h * p->out_w * channels, p->act_min, p->act_max);
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_DSP */

#endif
