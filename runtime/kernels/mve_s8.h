/* The inner products of mve_conv2d_s8.h and mve_linear_s8.h, for cores with the vector extension.
 *
 * The host lays weights out (micromind/deploy/pack_mve.h): a stream of groups of four output channels,
 *
 *   for every 16 bytes of a window: 16 weights of channel a, 16 of b, of c, of d (zero beyond the window's end)
 *   bias[4], multiplier[4] as int32_t, shift[4] as int8_t (-31…0), four bytes of nothing
 *
 * where bias already holds input_offset times the sum of a channel's weights (modulo 2^32, as all sums are), so that windows
 * are the image's bytes as they lie and padding is the zero point. Channels beyond the last are zeros. A linear layer of one
 * factor has multiplier[4], shift[4] and four bytes once, before all groups.
 *
 * Sums live in the even registers, where VMLADAV puts them. 14 instructions make 128 multiply-accumulates.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MVE_S8_H
#define MICROMIND_RUNTIME_KERNELS_MVE_S8_H

#include "mve.h"

/* Bytes of constants in a group; in one of a layer of one factor, and that factor. */
enum { MM_MVE_CONSTANTS = 40, MM_MVE_SHARED_CONSTANTS = 16, MM_MVE_FACTOR = 24 };

#if MM_HAS_MVE

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const int8_t* weights;
  int8_t *output0, *output1;
  const int8_t *x0, *x1; /* windows, 16 * steps bytes may be read */
  int32_t more_steps;    /* steps - 1 ≥ 0 */
  int32_t output_offset;
  const int8_t* end0; /* where output0 is done: a multiple of four channels, at least one */
} mm_mve_job;

/* 16 positions, four channels, two pixels: v is vmladav (sums begin) or vmladava (they go on). */
#define MM_MVE_STEP2(v)              \
  "vldrb.8  q1, [r9], #16        \n" \
  "vldrb.8  q0, [r1], #16        \n" \
  v ".s8    r0, q0, q1           \n" \
  "vldrb.8  q2, [r11], #16        \n" \
  v ".s8    r8, q0, q2           \n" \
  "vldrb.8  q3, [r1], #16        \n" \
  v ".s8    r2, q3, q1           \n" \
  v ".s8    r10, q3, q2          \n" \
  "vldrb.8  q0, [r1], #16        \n" \
  v ".s8    r4, q0, q1           \n" \
  v ".s8    r12, q0, q2          \n" \
  "vldrb.8  q3, [r1], #16        \n" \
  v ".s8    r6, q3, q1           \n" \
  v ".s8    lr, q3, q2           \n"

/* 16 positions, four channels, one pixel. */
#define MM_MVE_STEP1(v)              \
  "vldrb.8  q1, [r9], #16        \n" \
  "vldrb.8  q0, [r1], #16        \n" \
  v ".s8    r0, q0, q1           \n" \
  "vldrb.8  q3, [r1], #16        \n" \
  v ".s8    r2, q3, q1           \n" \
  "vldrb.8  q0, [r1], #16        \n" \
  v ".s8    r4, q0, q1           \n" \
  "vldrb.8  q3, [r1], #16        \n" \
  v ".s8    r6, q3, q1           \n"

/* One less where a negative product is shifted; q2: shifts. */
#define MM_MVE_AWAY_FROM_ZERO(q)     \
  "vand     q3, " q ", q2        \n" \
  "vshr.s32 q3, q3, #31          \n" \
  "vqadd.s32 " q ", " q ", q3    \n"

/* To a byte in the low end of every word; r0: output offset. */
#define MM_MVE_TO_BYTES(q)                \
  "vadd.i32 " q ", " q ", r0          \n" \
  "vqmovnb.s32 " q ", " q "           \n" \
  "vqmovnb.s16 " q ", " q "           \n"

/* Entry: everything but the outputs' pointers goes to the stack: x0, x1, more_steps, offset, end0. */
#define MM_MVE_ENTER                       \
  ".syntax unified                     \n" \
  "push     {r4-r11, lr}               \n" \
  "ldm      r0, {r1, r3, r5-r9, r11}   \n" \
  "push     {r6-r9, r11}               \n"
#define MM_MVE_LEAVE                       \
  "add      sp, sp, #20                \n" \
  "pop      {r4-r11, pc}               \n"

#define MM_MVE_TWO_PIXELS(away_from_zero0, away_from_zero1) \
  __asm__ volatile(                                         \
      MM_MVE_ENTER                                          \
      "1:                              \n"                  \
      "ldrd     r9, r11, [sp]          \n"                  \
      "ldr      r7, [sp, #8]           \n"                  \
      MM_MVE_STEP2("vmladav")                               \
      "lsrs     r7, r7, #1             \n"                  \
      "bcc      2f                     \n"                  \
      MM_MVE_STEP2("vmladava")                              \
      "2:                              \n"                  \
      "cmp      r7, #0                 \n"                  \
      "beq      4f                     \n"                  \
      "3:                              \n"                  \
      MM_MVE_STEP2("vmladava")                              \
      MM_MVE_STEP2("vmladava")                              \
      "subs     r7, r7, #1             \n"                  \
      "bne      3b                     \n"                  \
      "4:                              \n"                  \
      "vldrw.32 q2, [r1], #16          \n"                  \
      "vmov     d0, r0, r2             \n"                  \
      "vmov     d1, r4, r6             \n"                  \
      "vadd.i32 q0, q0, q2             \n"                  \
      "vmov     d2, r8, r10            \n"                  \
      "vmov     d3, r12, lr            \n"                  \
      "vadd.i32 q1, q1, q2             \n"                  \
      "vldrw.32 q2, [r1], #16          \n"                  \
      "vqrdmulh.s32 q0, q0, q2         \n"                  \
      "vqrdmulh.s32 q1, q1, q2         \n"                  \
      "vldrb.s32 q2, [r1], #8          \n"                  \
      away_from_zero0                                       \
      away_from_zero1                                       \
      "vrshl.s32 q0, q0, q2            \n"                  \
      "vrshl.s32 q1, q1, q2            \n"                  \
      "ldrd     r0, r2, [sp, #12]      \n"                  \
      MM_MVE_TO_BYTES("q0")                                 \
      MM_MVE_TO_BYTES("q1")                                 \
      "vstrb.32 q0, [r3], #4           \n"                  \
      "vstrb.32 q1, [r5], #4           \n"                  \
      "cmp      r3, r2                 \n"                  \
      "bne      1b                     \n"                  \
      MM_MVE_LEAVE)

/* Groups of four channels of two pixels. */
MM_MVE_ASSEMBLY void mm_mve_two_pixels(const mm_mve_job* job __attribute__((unused))) {
  MM_MVE_TWO_PIXELS(MM_MVE_AWAY_FROM_ZERO("q0"), MM_MVE_AWAY_FROM_ZERO("q1"));
}

/* The same where the lower limit is at least the output offset. */
MM_MVE_ASSEMBLY void mm_mve_two_pixels_relu(const mm_mve_job* job __attribute__((unused))) {
  MM_MVE_TWO_PIXELS("", "");
}

#define MM_MVE_ONE_PIXEL(factors, multipliers, shifts)      \
  __asm__ volatile(                                         \
      MM_MVE_ENTER                                          \
      "1:                              \n"                  \
      "ldr      r9, [sp]               \n"                  \
      "ldr      r7, [sp, #8]           \n"                  \
      MM_MVE_STEP1("vmladav")                               \
      "wls      lr, r7, 4f             \n"                  \
      "3:                              \n"                  \
      MM_MVE_STEP1("vmladava")                              \
      "le       lr, 3b                 \n"                  \
      "4:                              \n"                  \
      "vldrw.32 q2, [r1], #16          \n"                  \
      "vmov     d0, r0, r2             \n"                  \
      "vmov     d1, r4, r6             \n"                  \
      "vadd.i32 q0, q0, q2             \n"                  \
      factors                                               \
      "vldrw.32 q2, " multipliers "    \n"                  \
      "vqrdmulh.s32 q0, q0, q2         \n"                  \
      "vldrb.s32 q2, " shifts "        \n"                  \
      MM_MVE_AWAY_FROM_ZERO("q0")                           \
      "vrshl.s32 q0, q0, q2            \n"                  \
      "ldrd     r0, r2, [sp, #12]      \n"                  \
      MM_MVE_TO_BYTES("q0")                                 \
      "vstrb.32 q0, [r3], #4           \n"                  \
      "cmp      r3, r2                 \n"                  \
      "bne      1b                     \n"                  \
      MM_MVE_LEAVE)

/* Groups of four channels of pixel 0. */
MM_MVE_ASSEMBLY void mm_mve_one_pixel(const mm_mve_job* job __attribute__((unused))) {
  MM_MVE_ONE_PIXEL("", "[r1], #16", "[r1], #8");
}

/* The same where all channels have one factor: x1 points to multiplier[4] and shift[4], which the groups then lack. */
MM_MVE_ASSEMBLY void mm_mve_one_pixel_one_factor(const mm_mve_job* job __attribute__((unused))) {
  MM_MVE_ONE_PIXEL("ldr      r5, [sp, #4]           \n", "[r5]", "[r5, #16]");
}

typedef void mm_mve_run(const mm_mve_job* job);

/* The last one to three channels, of which the stream holds four. */
MM_MVE_APART void mm_mve_rest(mm_mve_job* job, mm_mve_run* run, const int8_t* weights, int32_t rest, int8_t* output0,
                              int8_t* output1) {
  int8_t last[8];
  job->weights = weights;
  job->output0 = last;
  job->output1 = last + 4;
  job->end0 = last + 4;
  run(job);
  mm_mve_copy(output0, last, rest);
  if (output1 != NULL) mm_mve_copy(output1, last + 4, rest);
}

/* All channels of one pixel or (output1 not NULL) two. */
static inline void mm_mve_pixels(mm_mve_job* job, mm_mve_run* run, const int8_t* weights, int32_t channels, int8_t* output0,
                                 int8_t* output1, int32_t constant_bytes) {
  const int32_t whole = channels & ~3;
  if (whole > 0) {
    job->weights = weights;
    job->output0 = output0;
    job->output1 = output1;
    job->end0 = output0 + whole;
    run(job);
  }
  if (whole != channels) {
    mm_mve_rest(job, run, weights + whole / 4 * (64 * (job->more_steps + 1) + constant_bytes), channels - whole, output0 + whole,
                output1 != NULL ? output1 + whole : NULL);
  }
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_MVE */

#endif
