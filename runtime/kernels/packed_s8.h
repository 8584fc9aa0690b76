/* The inner products of packed_conv2d_s8.h and packed_linear_s8.h, for cores with the DSP extension.
 *
 * The host lays weights out (micromind/deploy/pack.h), and says which layers may be packed.
 *
 * Layout. The bytes of a window are `runs` that lie side by side in the image (a kernel row; one tap where dilated),
 * each filled up to a multiple of four with zero weights; channels are filled up to a multiple of four, too. A block is
 * four channels a, b, c, d and four positions 0…3 of a run, sixteen bytes:
 *
 *   a0 b0' a2 b2'   c0 d0' c2 d2'   a1 b1' a3 b3'   c1 d1' c3 d3'        b' = b - 1 where the byte before it is negative
 *
 * so that a halfword read as it lies is 256 b + a. One dual product on words as they lie gives 256 B + A, one on their
 * even bytes gives A, and (first - second) / 256 is B: four sums cost three unpackings where they would cost four
 * times two. B must fit 24 bits: the host sees to it, and up to 64 blocks (256 positions; 256 * 255 * 128 < 2^23) always do.
 *
 * A layer is one stream that is read once from begin to end for each pair of pixels. A group of four channels is
 *
 *   int32_t bias a, c; blocks; int32_t 2 bias b, 2 bias d, multipliers a, c, b, d, factors a, c, b, d
 *
 * where factor = 2^(32 - right) + 1 and right = minus the shift. (value * 2^(32 - right) + value) / 2^32 rounded to nearest, ties
 * upwards, is value / 2^right rounded to nearest, ties away from zero, as long as |value| < 2^(32 - right): the small addition
 * decides ties and nothing else. With right ≤ 11 this holds for every result within ±512, and others saturate. Groups with
 * a larger shift (to 31) have even factors 2^(32 - right) and value - 1 for negative values instead.
 *
 * Wide layers have windows whose columns would take more than 1280 bytes or whose B might not fit, or shifts outside -31…-2, or sums beyond ±2^29. Their windows are taken
 * in chunks and their channels in runs of 64: for each run, chunk and group the stream holds two zeros and the chunk's blocks.
 * Sums are kept in memory; bias, multiplier and shift come from arrays of their own, and any value of them is right.
 *
 * Two output pixels are computed at once. Their windows, offset added, padding zero, 16 bits an element, lie interleaved
 * in `columns`: even bytes of both, odd bytes of both, and so on.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_PACKED_S8_H
#define MICROMIND_RUNTIME_KERNELS_PACKED_S8_H

#include "dsp.h"

/* Both sides of the layout compute these: the host and the chip. */
#define MM_PACKED_WORDS 320         /* most scratch of a layer that is not wide */
#define MM_PACKED_BLOCKS 64         /* most blocks of a wide layer's chunk */
#define MM_PACKED_CHANNELS 64       /* of a wide layer, whose sums are in memory at a time */
#define MM_PACKED_WIDE_CHANNELS 512 /* most output channels of a wide convolution */

#ifdef __cplusplus
extern "C" {
#endif

/* Blocks of every chunk but the last; `scarce`: chunks of half the size. */
static inline int32_t mm_packed_chunk(int32_t blocks, int scarce) {
  const int32_t most = scarce ? MM_PACKED_BLOCKS / 2 : MM_PACKED_BLOCKS;
  const int32_t chunks = (blocks + most - 1) / most;
  return (blocks + chunks - 1) / chunks;
}

#ifdef __cplusplus
}
#endif

#if MM_HAS_DSP

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int8_t *output0, *output1;   /*  0, 4 */
  const int8_t* end;           /*  8: of output0, behind its last group of channels */
  const uint32_t* columns;     /* 12 */
  const uint32_t* columns_end; /* 16 */
  int32_t first_round;         /* 20: blocks of the first round, 1…8: mm_packed_set_columns */
  int32_t output_offset;       /* 24 */
  const int8_t* table;         /* 28: NULL, or what every output byte is replaced by: address of the entry of 0 */
  int32_t* sums;               /* 32: NULL, or where to add sums instead of writing outputs: a a b b c c d d, pixel by pixel */
  const int8_t* stream;        /* 36 */
} mm_packed_job;

static inline void mm_packed_set_columns(mm_packed_job* job, const uint32_t* columns, int32_t blocks, int32_t words_a_block) {
  job->columns = columns;
  job->columns_end = columns + words_a_block * blocks;
  job->first_round = ((blocks - 1) & 7) + 1;
}

#define MM_TIMES_8(x) x x x x x x x x

/* The job goes onto the stack, its ninth word first; [sp, #20]: where the first round starts, whose blocks have `bytes` bytes of
 * code and end at label 4. r1: the stream. */
#define MM_PACKED_BEGIN(bytes)        \
  ".syntax unified            \n"     \
  "push   {r4-r11, lr}        \n"     \
  "ldm    r0, {r4-r12}        \n"     \
  "ldr    r1, [r0, #36]       \n"     \
  "mov    r2, #" bytes "      \n"     \
  "adr.w  r3, 4f              \n"     \
  "mls    r9, r9, r2, r3      \n"     \
  "orr    r9, r9, #1          \n"     \
  "push   {r4-r12}            \n"

#define MM_PACKED_END                 \
  "mov    r0, r1              \n"     \
  "add    sp, sp, #36         \n"     \
  "pop    {r4-r11, pc}        \n"

/* Half a block: r2, r3 hold two elements of each pixel. */
#define MM_PACKED_HALF                \
  "ldrd   r2, r3, [r0], #8      \n"   \
  "ldrd   r12, lr, [r1], #8     \n"   \
  "smlad  r6, r12, r2, r6       \n"   \
  "smlad  r7, r12, r3, r7       \n"   \
  "sxtb16 r12, r12              \n"   \
  "smlad  r10, lr, r2, r10      \n"   \
  "smlad  r11, lr, r3, r11      \n"   \
  "sxtb16 lr, lr                \n"   \
  "smlad  r4, r12, r2, r4       \n"   \
  "smlad  r5, r12, r3, r5       \n"   \
  "smlad  r8, lr, r2, r8        \n"   \
  "smlad  r9, lr, r3, r9        \n"

#define MM_PACKED_EACH(op, end)       \
  op " r4, r4" end "\n" op " r5, r5" end "\n" op " r8, r8" end "\n" op " r9, r9" end "\n"
#define MM_PACKED_MIXED(op, end)      \
  op " r6, r6" end "\n" op " r7, r7" end "\n" op " r10, r10" end "\n" op " r11, r11" end "\n"

#define MM_PACKED_SATURATE(a) "ssat   " a ", #8, " a "    \n"
#define MM_PACKED_TABLE(a) "ldrsb  " a ", [r0, " a "] \n"
/* One less where negative: ties go away from zero. */
#define MM_PACKED_AWAY(a) "add    " a ", " a ", " a ", asr #31 \n"

/* All channels of two pixels. Sums, pixel by pixel: r4, r5 channel a; r6, r7 a and b mixed; r8, r9 channel c; r10, r11 c and
 * d mixed. Returns where the stream goes on. */
MM_ASSEMBLY const int8_t* mm_packed_two_pixels(const mm_packed_job* job __attribute__((unused))) {
  __asm__ volatile(
      MM_PACKED_BEGIN("96")
      "1:                         \n" /* a group of four channels */
      "ldrd   r4, r8, [r1], #8    \n"
      "ldr    r0, [sp, #12]       \n"
      "mov    r5, r4              \n"
      "mov    r6, r4              \n"
      "mov    r7, r4              \n"
      "mov    r9, r8              \n"
      "mov    r10, r8             \n"
      "mov    r11, r8             \n"
      "ldr    pc, [sp, #20]       \n"
      ".p2align 2                 \n"
      "2:                         \n"
      MM_TIMES_8(MM_PACKED_HALF MM_PACKED_HALF)
      "4:                         \n"
      "ldr    r2, [sp, #16]       \n"
      "cmp    r0, r2              \n"
      "bne    2b                  \n"

      "ldr    r0, [sp, #32]       \n"
      "sub    r6, r6, r4          \n"
      "sub    r7, r7, r5          \n"
      "sub    r10, r10, r8        \n"
      "sub    r11, r11, r9        \n"
      "cmp    r0, #0              \n"
      "bne    6f                  \n"
      "ldm    r1!, {r2, r3, r12, lr} \n"
      "add    r6, r2, r6, asr #7  \n"
      "add    r7, r2, r7, asr #7  \n"
      "add    r10, r3, r10, asr #7\n"
      "add    r11, r3, r11, asr #7\n"
      MM_PACKED_EACH("lsl", ", #1")
      "smmulr r4, r4, r12         \n"
      "smmulr r5, r5, r12         \n"
      "smmulr r8, r8, lr          \n"
      "smmulr r9, r9, lr          \n"
      "ldm    r1!, {r2, r3, r12, lr} \n"
      "smmulr r6, r6, r2          \n"
      "smmulr r7, r7, r2          \n"
      "smmulr r10, r10, r3        \n"
      "smmulr r11, r11, r3        \n"
      "lsls   r0, r12, #31        \n"
      "beq    7f                  \n"
      "8:                         \n"
      "ldrd   r2, r3, [r1], #8    \n"
      "ldr    r0, [sp, #24]       \n"
      "smmlar r4, r4, r12, r0     \n"
      "smmlar r5, r5, r12, r0     \n"
      "smmlar r8, r8, lr, r0      \n"
      "smmlar r9, r9, lr, r0      \n"
      "smmlar r6, r6, r2, r0      \n"
      "smmlar r7, r7, r2, r0      \n"
      "smmlar r10, r10, r3, r0    \n"
      "smmlar r11, r11, r3, r0    \n"
      "ldr    r0, [sp, #28]       \n"
      MM_PACKED_SATURATE("r4") MM_PACKED_SATURATE("r5") MM_PACKED_SATURATE("r8") MM_PACKED_SATURATE("r9")
      MM_PACKED_SATURATE("r6") MM_PACKED_SATURATE("r7") MM_PACKED_SATURATE("r10") MM_PACKED_SATURATE("r11")
      "cbnz   r0, 9f              \n"
      "5:                         \n"
      "ldrd   r12, lr, [sp]       \n"
      "ldr    r0, [sp, #8]        \n"
      "strb   r4, [r12], #1       \n"
      "strb   r5, [lr], #1        \n"
      "strb   r6, [r12], #1       \n"
      "strb   r7, [lr], #1        \n"
      "strb   r8, [r12], #1       \n"
      "strb   r9, [lr], #1        \n"
      "strb   r10, [r12], #1      \n"
      "strb   r11, [lr], #1       \n"
      "strd   r12, lr, [sp]       \n"
      "3:                         \n"
      "cmp    r12, r0             \n"
      "bne    1b                  \n"
      MM_PACKED_END
      "9:                         \n"
      MM_PACKED_TABLE("r4") MM_PACKED_TABLE("r5") MM_PACKED_TABLE("r6") MM_PACKED_TABLE("r7")
      MM_PACKED_TABLE("r8") MM_PACKED_TABLE("r9") MM_PACKED_TABLE("r10") MM_PACKED_TABLE("r11")
      "b      5b                  \n"
      "7:                         \n" /* a large shift */
      MM_PACKED_AWAY("r4") MM_PACKED_AWAY("r5") MM_PACKED_AWAY("r6") MM_PACKED_AWAY("r7")
      MM_PACKED_AWAY("r8") MM_PACKED_AWAY("r9") MM_PACKED_AWAY("r10") MM_PACKED_AWAY("r11")
      "b      8b                  \n"
      "6:                         \n" /* sums; r0: where */
      MM_PACKED_MIXED("asr", ", #8")
      "ldm    r0, {r2, r3, r12, lr} \n"
      "add    r4, r4, r2          \n"
      "add    r5, r5, r3          \n"
      "add    r6, r6, r12         \n"
      "add    r7, r7, lr          \n"
      "stm    r0!, {r4-r7}        \n"
      "ldm    r0, {r2, r3, r12, lr} \n"
      "add    r8, r8, r2          \n"
      "add    r9, r9, r3          \n"
      "add    r10, r10, r12       \n"
      "add    r11, r11, lr        \n"
      "stm    r0!, {r8-r11}       \n"
      "str    r0, [sp, #32]       \n"
      "ldr    r12, [sp]           \n"
      "ldr    r0, [sp, #8]        \n"
      "add    r12, r12, #4        \n"
      "str    r12, [sp]           \n"
      "b      3b                  \n");
}

/* One block of one pixel. */
#define MM_PACKED_BLOCK               \
  "ldrd   r2, r3, [r0], #8      \n"   \
  "ldm    r1!, {r5, r7, r9, r11} \n"  \
  "smlad  r6, r5, r2, r6        \n"   \
  "sxtb16 r5, r5                \n"   \
  "smlad  r10, r7, r2, r10      \n"   \
  "sxtb16 r7, r7                \n"   \
  "smlad  r4, r5, r2, r4        \n"   \
  "smlad  r8, r7, r2, r8        \n"   \
  "smlad  r6, r9, r3, r6        \n"   \
  "sxtb16 r9, r9                \n"   \
  "smlad  r10, r11, r3, r10     \n"   \
  "sxtb16 r11, r11              \n"   \
  "smlad  r4, r9, r3, r4        \n"   \
  "smlad  r8, r11, r3, r8       \n"

/* All channels of one pixel, whose columns are not interleaved. Sums: r4 channel a; r6 a and b mixed; r8 channel c; r10 c
 * and d mixed. output1 is not used; sums are a b c d. */
MM_ASSEMBLY const int8_t* mm_packed_one_pixel(const mm_packed_job* job __attribute__((unused))) {
  __asm__ volatile(
      MM_PACKED_BEGIN("56")
      "1:                         \n"
      "ldrd   r4, r8, [r1], #8    \n"
      "ldr    r0, [sp, #12]       \n"
      "mov    r6, r4              \n"
      "mov    r10, r8             \n"
      "ldr    pc, [sp, #20]       \n"
      ".p2align 2                 \n"
      "2:                         \n"
      MM_TIMES_8(MM_PACKED_BLOCK)
      "4:                         \n"
      "ldr    r2, [sp, #16]       \n"
      "cmp    r0, r2              \n"
      "bne    2b                  \n"

      "ldr    r0, [sp, #32]       \n"
      "sub    r6, r6, r4          \n"
      "sub    r10, r10, r8        \n"
      "cmp    r0, #0              \n"
      "bne    6f                  \n"
      "ldm    r1!, {r2, r3, r12, lr} \n"
      "add    r6, r2, r6, asr #7  \n"
      "add    r10, r3, r10, asr #7\n"
      "lsl    r4, r4, #1          \n"
      "lsl    r8, r8, #1          \n"
      "smmulr r4, r4, r12         \n"
      "smmulr r8, r8, lr          \n"
      "ldm    r1!, {r2, r3, r12, lr} \n"
      "smmulr r6, r6, r2          \n"
      "smmulr r10, r10, r3        \n"
      "lsls   r0, r12, #31        \n"
      "beq    7f                  \n"
      "8:                         \n"
      "ldrd   r2, r3, [r1], #8    \n"
      "ldr    r0, [sp, #24]       \n"
      "smmlar r4, r4, r12, r0     \n"
      "smmlar r8, r8, lr, r0      \n"
      "smmlar r6, r6, r2, r0      \n"
      "smmlar r10, r10, r3, r0    \n"
      "ldr    r0, [sp, #28]       \n"
      "ssat   r4, #8, r4          \n"
      "ssat   r6, #8, r6          \n"
      "ssat   r8, #8, r8          \n"
      "ssat   r10, #8, r10        \n"
      "cbnz   r0, 9f              \n"
      "5:                         \n"
      "ldr    r12, [sp]           \n"
      "ldr    r0, [sp, #8]        \n"
      "strb   r4, [r12], #1       \n"
      "strb   r6, [r12], #1       \n"
      "strb   r8, [r12], #1       \n"
      "strb   r10, [r12], #1      \n"
      "str    r12, [sp]           \n"
      "3:                         \n"
      "cmp    r12, r0             \n"
      "bne    1b                  \n"
      MM_PACKED_END
      "9:                         \n"
      MM_PACKED_TABLE("r4") MM_PACKED_TABLE("r6") MM_PACKED_TABLE("r8") MM_PACKED_TABLE("r10")
      "b      5b                  \n"
      "7:                         \n"
      MM_PACKED_AWAY("r4") MM_PACKED_AWAY("r6") MM_PACKED_AWAY("r8") MM_PACKED_AWAY("r10")
      "b      8b                  \n"
      "6:                         \n"
      "asr    r6, r6, #8          \n"
      "asr    r10, r10, #8        \n"
      "ldm    r0, {r2, r3, r12, lr} \n"
      "add    r2, r2, r4          \n"
      "add    r3, r3, r6          \n"
      "add    r12, r12, r8        \n"
      "add    lr, lr, r10         \n"
      "stm    r0!, {r2, r3, r12, lr} \n"
      "str    r0, [sp, #32]       \n"
      "ldr    r12, [sp]           \n"
      "ldr    r0, [sp, #8]        \n"
      "add    r12, r12, #4        \n"
      "str    r12, [sp]           \n"
      "b      3b                  \n");
}

/* The last channels, one to three, that do not fill a group: what is computed beyond them is thrown away. */
MM_APART void mm_packed_rest(const mm_packed_job* job, const int8_t* stream, int8_t* output0, int8_t* output1, int32_t rest) {
  int8_t bytes[8];
  mm_packed_job last = *job;
  last.output0 = bytes;
  last.output1 = bytes + 4;
  last.end = bytes + 4;
  last.stream = stream;
  if (output1 != NULL) {
    mm_packed_two_pixels(&last);
    for (int32_t k = 0; k < rest; ++k) output1[k] = bytes[4 + k];
  } else {
    mm_packed_one_pixel(&last);
  }
  for (int32_t k = 0; k < rest; ++k) output0[k] = bytes[k];
}

/* Up to three bytes, the others 0. */
static inline uint32_t mm_load_bytes(const int8_t* x, int32_t bytes) {
  uint32_t word = (uint8_t)x[0];
  if (bytes > 1) word |= (uint32_t)(uint8_t)x[1] << 8;
  if (bytes > 2) word |= (uint32_t)(uint8_t)x[2] << 16;
  return word;
}

/* What of a wide layer follows the sums of `channels` channels from `first` on, `pixels` (1 or 2) sums a channel: requantisation
 * with any factor. Sums start at zero again. */
typedef struct {
  const int32_t *bias, *multiplier;
  const int8_t *shift, *table;
  int32_t per_channel, output_offset, act_min, act_max;
} mm_packed_wide;

MM_APART void mm_packed_finish_wide(const mm_packed_wide* p, int32_t* sums, int32_t first, int32_t channels, int32_t pixels,
                                    int8_t* output0, int8_t* output1) {
  for (int32_t k = 0; k < channels; ++k) {
    const int32_t o = first + k, scale = p->per_channel ? o : 0;
    for (int32_t i = 0; i < pixels; ++i, ++sums) {
      const int32_t value = mm_wrapping_add(*sums, p->bias[o]);
      const int32_t right = -p->shift[scale], multiplier = p->multiplier[scale];
      int8_t byte;
      if (right > 0 && (uint32_t)value + (UINT32_C(1) << 29) < UINT32_C(1) << 30) {
        byte = (int8_t)mm_clamp(mm_requantize_small_s8(value, multiplier, right, p->output_offset), p->act_min, p->act_max);
      } else {
        byte = mm_requantize_s8(value, multiplier, -right, p->output_offset, p->act_min, p->act_max);
      }
      if (p->table != NULL) byte = p->table[byte];
      (i == 0 ? output0 : output1)[k] = byte;
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_DSP */

#endif
