/* Depthwise convolution, depth multiplier 1, for cores with the vector extension, on weights laid out for it.
 *
 * The bytes are those of depthwise_conv2d_s8.h, whose parameter struct serves here too; only `weights` differs.
 *
 * Strip. The columns that a few neighbouring output pixels read, sixteen channels at a time: [column][words][16 channels][4
 * rows], so that four rows of a channel's column are a word, and a kernel of 3 rows takes one word, of 5 two; the padding is
 * the zero point. A channel's window is then words that lie 64 bytes apart, of which one gather brings four: 16 taps for one
 * VMLADAV.
 *
 * The host lays weights out (micromind/deploy/pack_mve.h): a stream of groups of four channels,
 *
 *   for every four words of a window: 16 weights of channel a, 16 of b, of c, of d (zero where there is no tap)
 *   bias[4], multiplier[4] as int32_t, shift[4] as int8_t (-31…0), four bytes of nothing
 *
 * with input_offset times the sum of the weights in the bias. The pixels of a strip are read, all channels, before one is
 * written.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MVE_DEPTHWISE_CONV2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_MVE_DEPTHWISE_CONV2D_S8_H

#include "depthwise_conv2d_s8.h"
#include "mve_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MM_MVE_MOST_AT_ONCE = 16, MM_MVE_DEPTHWISE_SCRATCH = 2048 };

/* Scratch in bytes for so many pixels at once. */
static inline int32_t mm_mve_depthwise_conv2d_s8_strip(const mm_depthwise_conv2d_s8_params* p, int32_t at_once) {
  return ((at_once - 1) * p->stride_w + p->kernel_w) * ((p->kernel_h + 3) / 4) * 64;
}
static inline int32_t mm_mve_depthwise_conv2d_s8_scratch(const mm_depthwise_conv2d_s8_params* p, int32_t at_once) {
  return mm_mve_depthwise_conv2d_s8_strip(p, at_once) + mm_max(at_once * ((p->out_c + 3) & ~3), 192); /* ≤ 3 words more are read */
}

/* How many pixels of a row are computed at once: what scratch allows, in parts as equal as can be. */
static inline int32_t mm_mve_depthwise_conv2d_s8_at_once(const mm_depthwise_conv2d_s8_params* p) {
  int32_t most = p->dilation_w > 1 ? 1 : mm_min(MM_MVE_MOST_AT_ONCE, p->out_w), parts;
  while (most > 1 && mm_mve_depthwise_conv2d_s8_scratch(p, most) > MM_MVE_DEPTHWISE_SCRATCH) --most;
  parts = (p->out_w + most - 1) / most;
  return (p->out_w + parts - 1) / parts;
}

#if MM_HAS_MVE

typedef struct {
  const int8_t* weights;
  const int8_t* strip;
  int32_t pixels, pixel_bytes; /* ≥ 1; from a pixel's window to the next */
  int8_t* output;
  int32_t output_step, output_offset;
  int32_t quads;   /* of channels, ≥ 1 */
  int32_t vectors; /* of four words, in a window */
} mm_mve_depthwise_job;

#define MM_MVE_DEPTHWISE_ENTER                      \
  ".syntax unified                           \n"    \
  "push     {r4-r11, lr}                     \n"    \
  "vpush    {d8-d15}                         \n"    \
  "ldm      r0, {r1, r3, r5, r8, r9}         \n"    \
  "mov      r11, r3                          \n" /* strip of this quad */ \
  "ldr      r10, [r0, #24]                   \n"    \
  "ldr      r7, [r0, #20]                    \n"    \
  "ldr      r12, [r0, #28]                   \n"    \
  "push     {r5, r7, r9, r12}                \n"    \
  /* [sp]: pixels, [4]: output step, [8]: output, [12]: quads; r8: pixel bytes, r10: offset */
#define MM_MVE_DEPTHWISE_LEAVE                      \
  "add      sp, sp, #16                      \n"    \
  "vpop     {d8-d15}                         \n"    \
  "pop      {r4-r11, pc}                     \n"
/* q0: the addresses of a window's first four words; r3: output; lr: pixels; r9: output step. */
#define MM_MVE_DEPTHWISE_QUAD                       \
  "movs     r0, #0                           \n"    \
  "vidup.u32 q0, r0, #8                      \n"    \
  "vshl.i32 q0, q0, #3                       \n"    \
  "vadd.i32 q0, q0, r11                      \n"    \
  "ldrd     r7, r9, [sp]                     \n"    \
  "ldr      r3, [sp, #8]                     \n"    \
  "dls      lr, r7                           \n"
/* On to the next quad, or out. */
#define MM_MVE_DEPTHWISE_NEXT                       \
  "ldrd     r3, r7, [sp, #8]                 \n"    \
  "add      r11, r11, #16                    \n"    \
  "adds     r3, r3, #4                       \n"    \
  "subs     r7, r7, #1                       \n"    \
  "strd     r3, r7, [sp, #8]                 \n"    \
  "bne      1b                               \n"

/* Windows of at most four words. */
#define MM_MVE_DEPTHWISE_SHORT(away_from_zero)      \
  __asm__ volatile(                                 \
      MM_MVE_DEPTHWISE_ENTER                        \
      "1:                                    \n"    \
      MM_MVE_DEPTHWISE_QUAD                         \
      "vldrb.8  q4, [r1], #16                \n"    \
      "vldrb.8  q5, [r1], #16                \n"    \
      "vldrb.8  q6, [r1], #16                \n"    \
      "vldrb.8  q7, [r1], #16                \n"    \
      "vldrw.32 q2, [r1, #16]                \n"    \
      "vldrb.s32 q3, [r1, #32]               \n"    \
      "2:                                    \n"    \
      "ldrd     r0, r2, [r1]                 \n"    \
      "ldrd     r4, r6, [r1, #8]             \n"    \
      "vldrw.u32 q1, [q0]                    \n"    \
      "vmladava.s8 r0, q1, q4                \n"    \
      "vldrw.u32 q1, [q0, #4]                \n"    \
      "vmladava.s8 r2, q1, q5                \n"    \
      "vldrw.u32 q1, [q0, #8]                \n"    \
      "vmladava.s8 r4, q1, q6                \n"    \
      "vldrw.u32 q1, [q0, #12]               \n"    \
      "vmladava.s8 r6, q1, q7                \n"    \
      "vmov     d2, r0, r2                   \n"    \
      "vadd.i32 q0, q0, r8                   \n"    \
      "vmov     d3, r4, r6                   \n"    \
      "vqrdmulh.s32 q1, q1, q2               \n"    \
      away_from_zero                                \
      "vrshl.s32 q1, q1, q3                  \n"    \
      "vadd.i32 q1, q1, r10                  \n"    \
      "vqmovnb.s32 q1, q1                    \n"    \
      "vqmovnb.s16 q1, q1                    \n"    \
      "vstrb.32 q1, [r3]                     \n"    \
      "add      r3, r3, r9                   \n"    \
      "le       lr, 2b                       \n"    \
      "adds     r1, r1, #40                  \n"    \
      MM_MVE_DEPTHWISE_NEXT                         \
      MM_MVE_DEPTHWISE_LEAVE)

MM_MVE_ASSEMBLY void mm_mve_depthwise_short(const mm_mve_depthwise_job* job __attribute__((unused))) {
  MM_MVE_DEPTHWISE_SHORT(
      "vand     q2, q1, q3                   \n"
      "vshr.s32 q2, q2, #31                  \n"
      "vqadd.s32 q1, q1, q2                  \n"
      "vldrw.32 q2, [r1, #16]                \n");
}

/* The same where the lower limit is at least the output offset. */
MM_MVE_ASSEMBLY void mm_mve_depthwise_short_relu(const mm_mve_depthwise_job* job __attribute__((unused))) {
  MM_MVE_DEPTHWISE_SHORT("");
}

/* Windows of any size. */
MM_MVE_ASSEMBLY void mm_mve_depthwise_long(const mm_mve_depthwise_job* job __attribute__((unused))) {
  __asm__ volatile(
      MM_MVE_DEPTHWISE_ENTER
      "ldr      r12, [r0, #32]               \n"
      "push     {r12}                        \n"
      "vpush    {d0}                         \n" /* keeps the stack's offsets below easy: 12 bytes more */
      "1:                                    \n"
      "movs     r0, #0                       \n"
      "vidup.u32 q0, r0, #8                  \n"
      "vshl.i32 q0, q0, #3                   \n"
      "vadd.i32 q0, q0, r11                  \n"
      "ldrd     r7, r9, [sp, #12]            \n"
      "ldr      r3, [sp, #20]                \n"
      "dls      lr, r7                       \n"
      "mov      r12, #256                    \n"
      "2:                                    \n"
      "vmov     q4, q0                       \n"
      "ldr      r7, [sp, #8]                 \n"
      "mov      r5, r1                       \n"
      "movs     r0, #0                       \n"
      "movs     r2, #0                       \n"
      "movs     r4, #0                       \n"
      "movs     r6, #0                       \n"
      "3:                                    \n"
      "vldrw.u32 q1, [q4]                    \n"
      "vldrb.8  q2, [r5], #16                \n"
      "vmladava.s8 r0, q1, q2                \n"
      "vldrw.u32 q3, [q4, #4]                \n"
      "vldrb.8  q5, [r5], #16                \n"
      "vmladava.s8 r2, q3, q5                \n"
      "vldrw.u32 q1, [q4, #8]                \n"
      "vldrb.8  q2, [r5], #16                \n"
      "vmladava.s8 r4, q1, q2                \n"
      "vldrw.u32 q3, [q4, #12]               \n"
      "vldrb.8  q5, [r5], #16                \n"
      "vmladava.s8 r6, q3, q5                \n"
      "vadd.i32 q4, q4, r12                  \n"
      "subs     r7, r7, #1                   \n"
      "bne      3b                           \n"
      "vmov     d2, r0, r2                   \n"
      "vldrw.32 q3, [r5]                     \n"
      "vmov     d3, r4, r6                   \n"
      "vadd.i32 q0, q0, r8                   \n"
      "vadd.i32 q1, q1, q3                   \n"
      "vldrw.32 q2, [r5, #16]                \n"
      "vqrdmulh.s32 q1, q1, q2               \n"
      "vldrb.s32 q3, [r5, #32]               \n"
      "vand     q2, q1, q3                   \n"
      "vshr.s32 q2, q2, #31                  \n"
      "vqadd.s32 q1, q1, q2                  \n"
      "vrshl.s32 q1, q1, q3                  \n"
      "vadd.i32 q1, q1, r10                  \n"
      "vqmovnb.s32 q1, q1                    \n"
      "vqmovnb.s16 q1, q1                    \n"
      "vstrb.32 q1, [r3]                     \n"
      "add      r3, r3, r9                   \n"
      "le       lr, 2b                       \n"
      "add      r1, r5, #40                  \n"
      "ldrd     r3, r7, [sp, #20]            \n"
      "add      r11, r11, #16                \n"
      "adds     r3, r3, #4                   \n"
      "subs     r7, r7, #1                   \n"
      "strd     r3, r7, [sp, #20]            \n"
      "bne      1b                           \n"
      "add      sp, sp, #12                  \n"
      MM_MVE_DEPTHWISE_LEAVE);
}

/* Strips of kernels of up to three rows. Rows in the padding have a step of 0, over bytes of the zero point. */
typedef struct {
  const int8_t* x[3];
  int32_t x_step[3]; /* from a column to the next */
  int32_t inside, before, after, zero_point, channels;
  int8_t* to;
} mm_mve_short_strip;

MM_MVE_ASSEMBLY void mm_mve_depthwise_short_strip(const mm_mve_short_strip* strip __attribute__((unused))) {
  __asm__ volatile(
      ".syntax unified                       \n"
      "push     {r4-r11, lr}                 \n"
      "ldm      r0, {r1-r12}                 \n"
      "vdup.8   q0, r10                      \n"
      "wls      lr, r8, 2f                   \n"
      "1:                                    \n"
      "vstrb.8  q0, [r12], #16               \n"
      "vstrb.8  q0, [r12], #16               \n"
      "vstrb.8  q0, [r12], #16               \n"
      "vstrb.8  q0, [r12], #16               \n"
      "le       lr, 1b                       \n"
      "2:                                    \n"
      "vctp.8   r11                          \n"
      "wls      lr, r7, 4f                   \n"
      "3:                                    \n"
      "vpsttt                                \n"
      "vldrbt.8 q0, [r1]                     \n"
      "vldrbt.8 q1, [r2]                     \n"
      "vldrbt.8 q2, [r3]                     \n"
      "add      r1, r1, r4                   \n"
      "add      r2, r2, r5                   \n"
      "add      r3, r3, r6                   \n"
      "vst40.8  {q0, q1, q2, q3}, [r12]      \n"
      "vst41.8  {q0, q1, q2, q3}, [r12]      \n"
      "vst42.8  {q0, q1, q2, q3}, [r12]      \n"
      "vst43.8  {q0, q1, q2, q3}, [r12]!     \n"
      "le       lr, 3b                       \n"
      "4:                                    \n"
      "vdup.8   q0, r10                      \n"
      "wls      lr, r9, 6f                   \n"
      "5:                                    \n"
      "vstrb.8  q0, [r12], #16               \n"
      "vstrb.8  q0, [r12], #16               \n"
      "vstrb.8  q0, [r12], #16               \n"
      "vstrb.8  q0, [r12], #16               \n"
      "le       lr, 5b                       \n"
      "6:                                    \n"
      "pop      {r4-r11, pc}                 \n");
}

/* r0[0], r1[0], r2[0], r3[0], r0[1] …: 64 bytes. (Not vst4q_s8: GCC 12 gives VST43 an address form that it does not have.) */
static inline void mm_mve_interleave(int8_t* to, int8x16_t r0, int8x16_t r1, int8x16_t r2, int8x16_t r3) {
  register int8x16_t q0 __asm__("q0") = r0;
  register int8x16_t q1 __asm__("q1") = r1;
  register int8x16_t q2 __asm__("q2") = r2;
  register int8x16_t q3 __asm__("q3") = r3;
  __asm__ volatile(
      "vst40.8  {q0, q1, q2, q3}, [%0]       \n"
      "vst41.8  {q0, q1, q2, q3}, [%0]       \n"
      "vst42.8  {q0, q1, q2, q3}, [%0]       \n"
      "vst43.8  {q0, q1, q2, q3}, [%0]       \n"
      :
      : "r"(to), "w"(q0), "w"(q1), "w"(q2), "w"(q3)
      : "memory");
}

static inline int8_t* mm_mve_padding_columns(int32_t columns, int8x16_t zero_point, int8_t* to, int32_t to_step) {
  for (; columns > 0; --columns, to += to_step) {
    vstrbq_s8(to, zero_point);
    vstrbq_s8(to + 16, zero_point);
    vstrbq_s8(to + 32, zero_point);
    vstrbq_s8(to + 48, zero_point);
  }
  return to;
}

/* What the strips of some pixels of one output row have in common. */
typedef struct {
  const int8_t* rows;              /* channel 0 of the first column in the image, of the kernel's row 0, which may lie outside */
  int32_t top, before, inside, after; /* row of the image; columns in the padding, in the image, in the padding */
} mm_mve_depthwise_place;

/* Sixteen channels from `channel`, a kernel of any height. */
MM_MVE_APART void mm_mve_depthwise_strip(const mm_depthwise_conv2d_s8_params* p, const mm_mve_depthwise_place* place,
                                         int32_t channel, int8_t* strip) {
  const int32_t column_step = p->dilation_w * p->in_c, row_step = p->dilation_h * p->in_w * p->in_c;
  const int32_t to_step = (p->kernel_h + 3) / 4 * 64;
  const int8x16_t zero_point = vdupq_n_s8((int8_t)-p->input_offset);
  const mve_pred16_t some = vctp8q((uint32_t)(p->in_c - channel));
  const int8_t* from = place->rows + channel;
  int32_t y = place->top;
  for (int32_t rows = p->kernel_h; rows > 0; rows -= 4, strip += 64) {
    int8_t* to = mm_mve_padding_columns(place->before, zero_point, strip, to_step);
    const int8_t* x[4]; /* NULL in the padding, and where there is no weight */
    for (int32_t i = 0; i < 4; ++i, y += p->dilation_h, from += row_step) {
      x[i] = y >= 0 && y < p->in_h && i < rows && place->inside > 0 ? from : NULL;
    }
    for (int32_t i = 0; i < place->inside; ++i, to += to_step) {
      const int32_t at = i * column_step;
      mm_mve_interleave(to, x[0] ? vldrbq_z_s8(x[0] + at, some) : zero_point, x[1] ? vldrbq_z_s8(x[1] + at, some) : zero_point,
                        x[2] ? vldrbq_z_s8(x[2] + at, some) : zero_point, x[3] ? vldrbq_z_s8(x[3] + at, some) : zero_point);
    }
    mm_mve_padding_columns(place->after, zero_point, to, to_step);
  }
}

/* columns: scratch of mm_mve_depthwise_conv2d_s8_scratch bytes. The layer is one that micromind/deploy/pack_mve.h packs. */
static inline void mm_mve_depthwise_conv2d_s8(const mm_depthwise_conv2d_s8_params* p, const int8_t* input, int8_t* output,
                                              uint32_t* columns) {
  const int32_t at_once = mm_mve_depthwise_conv2d_s8_at_once(p), words = (p->kernel_h + 3) / 4;
  const int32_t channels = p->out_c, staged_step = (channels + 3) & ~3;
  const int relu = p->act_min >= p->output_offset;
  int8_t *const begin = output, *const strip = (int8_t*)columns;
  int8_t* const staged = strip + mm_mve_depthwise_conv2d_s8_strip(p, at_once);
  int8_t padding[16];
  mm_mve_depthwise_place place;
  mm_mve_short_strip short_strip;
  mm_mve_depthwise_job job;
  mm_mve_fill(padding, -p->input_offset, 16);
  short_strip.zero_point = -p->input_offset;
  short_strip.to = strip;
  job.strip = strip;
  job.pixel_bytes = p->stride_w * words * 64;
  job.output_step = staged_step;
  job.output_offset = p->output_offset;
  job.vectors = (p->kernel_w * words + 3) / 4;
  for (int32_t y = 0; y < p->out_h; ++y) {
    place.top = y * p->stride_h - p->pad_top;
    for (int32_t x = 0; x < p->out_w; x += at_once) {
      const int32_t first = x * p->stride_w - p->pad_left;
      const int8_t* from = staged;
      int32_t columns_all, end;
      job.pixels = mm_min(at_once, p->out_w - x);
      columns_all = (job.pixels - 1) * p->stride_w + p->kernel_w;
      mm_clip_window(first, p->in_w, columns_all, p->dilation_w, &place.before, &end);
      place.inside = end - place.before;
      place.after = columns_all - end;
      place.rows = input + (place.top * p->in_w + first + place.before * p->dilation_w) * p->in_c;
      short_strip.inside = place.inside;
      short_strip.before = place.before;
      short_strip.after = place.after;
      short_strip.channels = channels;
      for (int32_t i = 0; i < 3; ++i) {
        const int32_t row = place.top + i * p->dilation_h;
        const int in_image = row >= 0 && row < p->in_h && i < p->kernel_h && place.inside > 0;
        short_strip.x[i] = in_image ? place.rows + i * p->dilation_h * p->in_w * channels : padding;
        short_strip.x_step[i] = in_image ? p->dilation_w * channels : 0;
      }
      job.weights = p->weights;
      for (int32_t channel = 0; channel < channels; channel += 16) {
        if (p->kernel_h <= 3) {
          mm_mve_depthwise_short_strip(&short_strip);
          for (int32_t i = 0; i < 3; ++i) short_strip.x[i] += short_strip.x_step[i] != 0 ? 16 : 0;
          short_strip.channels -= 16;
        } else {
          mm_mve_depthwise_strip(p, &place, channel, strip);
        }
        job.output = staged + channel;
        job.quads = mm_min(channels - channel + 3, 16) / 4;
        if (job.vectors > 1) {
          mm_mve_depthwise_long(&job);
        } else if (relu) {
          mm_mve_depthwise_short_relu(&job);
        } else {
          mm_mve_depthwise_short(&job);
        }
        job.weights += 4 * (64 * job.vectors + 40);
      }
      if (staged_step == channels) {
        mm_mve_copy(output, from, job.pixels * channels);
        output += job.pixels * channels;
      } else {
        for (int32_t i = 0; i < job.pixels; ++i, output += channels, from += staged_step) mm_mve_copy(output, from, channels);
      }
    }
  }
  mm_mve_clamp_all(begin, (int32_t)(output - begin), p->act_min, p->act_max);
}

#endif /* MM_HAS_MVE */

#ifdef __cplusplus
}
#endif

#endif
