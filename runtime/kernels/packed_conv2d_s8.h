/* Convolution of one group for cores with the DSP extension, on weights laid out for it (packed_s8.h).
 *
 * The bytes are those of conv2d_s8.h, whose parameter struct serves here too; `weights` is the stream of packed_s8.h, and
 * bias, multiplier and shift are read for wide layers only. No image of columns is made: two windows at a time are unpacked
 * to 16 bits, which every output channel then reads.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_PACKED_CONV2D_S8_H
#define MICROMIND_RUNTIME_KERNELS_PACKED_CONV2D_S8_H

#include "conv2d_s8.h"
#include "packed_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a convolution's windows have in common. */
typedef struct {
  int32_t runs, run_bytes, run_columns; /* in a kernel row; a run's bytes and taps */
  int32_t run_blocks, blocks;           /* of a run, of a window */
} mm_packed_shape;

static inline mm_packed_shape mm_packed_conv2d_s8_shape(const mm_conv2d_s8_params* p) {
  mm_packed_shape s;
  const int dilated = p->dilation_w > 1;
  s.runs = dilated ? p->kernel_w : 1;
  s.run_columns = dilated ? 1 : p->kernel_w;
  s.run_bytes = s.run_columns * p->in_c;
  s.run_blocks = (s.run_bytes + 3) / 4;
  s.blocks = p->kernel_h * s.runs * s.run_blocks;
  return s;
}

/* Scratch in words. Wide: columns of a chunk, sums, and two pixels' outputs where channels are taken in several runs, since an
 * input may die as its outputs are written. */
static inline int32_t mm_packed_conv2d_s8_scratch(const mm_conv2d_s8_params* p, int wide) {
  const int32_t blocks = mm_packed_conv2d_s8_shape(p).blocks;
  const int several = p->out_c > MM_PACKED_CHANNELS;
  if (!wide) return 4 * blocks;
  return 4 * mm_packed_chunk(blocks, several) + 2 * (several ? MM_PACKED_CHANNELS : (p->out_c + 3) / 4 * 4) +
         (several ? (p->out_c + 1) / 2 : 0);
}

#ifdef __cplusplus
}
#endif

#if MM_HAS_DSP

#ifdef __cplusplus
extern "C" {
#endif

/* `blocks` (≥ 1) words of two pixels, offset added. Returns where columns go on. */
MM_ASSEMBLY uint32_t* mm_packed_unpack_two(const int8_t* x0 __attribute__((unused)), const int8_t* x1 __attribute__((unused)),
                                           int32_t blocks __attribute__((unused)), uint32_t offsets __attribute__((unused)),
                                           uint32_t* columns __attribute__((unused))) {
#define MM_PACKED_UNPACK                \
  "ldr     r4, [r0], #4           \n"   \
  "ldr     r5, [r1], #4           \n"   \
  "sxtab16 r6, r3, r4, ror #8     \n"   \
  "sxtab16 r7, r3, r5, ror #8     \n"   \
  "sxtab16 r4, r3, r4             \n"   \
  "sxtab16 r5, r3, r5             \n"   \
  "stm     r12!, {r4-r7}          \n"
  __asm__ volatile(
      ".syntax unified            \n"
      "ldr     r12, [sp]          \n"
      "push    {r4-r7}            \n"
      "lsrs    r2, r2, #1         \n"
      "bcc     1f                 \n"
      MM_PACKED_UNPACK
      "cbz     r2, 2f             \n"
      "1:                         \n"
      MM_PACKED_UNPACK
      MM_PACKED_UNPACK
      "subs    r2, r2, #1         \n"
      "bne     1b                 \n"
      "2:                         \n"
      "mov     r0, r12            \n"
      "pop     {r4-r7}            \n"
      "bx      lr                 \n");
#undef MM_PACKED_UNPACK
}

/* The same where the last word of x1 might lie behind the image, at whose end only `bytes` bytes of it belong to the run. */
static inline uint32_t* mm_packed_two_runs(const int8_t* x0, const int8_t* x1, int32_t blocks, int32_t tail, uint32_t offsets,
                                           uint32_t* columns, const int8_t* end) {
  if (tail == 0 || x1 + 4 * blocks <= end) return mm_packed_unpack_two(x0, x1, blocks, offsets, columns);
  if (--blocks > 0) columns = mm_packed_unpack_two(x0, x1, blocks, offsets, columns);
  const uint32_t word = mm_load_bytes(x0 + 4 * blocks, tail), other = mm_load_bytes(x1 + 4 * blocks, tail);
  columns[0] = mm_add_even_bytes(offsets, word);
  columns[1] = mm_add_even_bytes(offsets, other);
  columns[2] = mm_add_odd_bytes(offsets, word);
  columns[3] = mm_add_odd_bytes(offsets, other);
  return columns + 4;
}

/* Blocks first…last-1 of a run of which bytes begin…end-1 are in the image, the others in the padding: to every second word of
 * columns. x: byte 0. */
MM_APART uint32_t* mm_packed_clipped(const int8_t* x, int32_t begin, int32_t end, int32_t first, int32_t last, int32_t offset,
                                     uint32_t* columns) {
  const uint32_t offsets = mm_both_halves(offset), zeros = ((uint32_t)-offset & 0xffu) * 0x01010101u;
  const int32_t inside = begin < end ? mm_max(first, (begin + 3) / 4) : last, behind = mm_min(last, end / 4);
  int32_t i = first;
  while (i < last) {
    if (i == inside && i < behind) {
      for (; i < behind; ++i, columns += 4) {
        const uint32_t word = mm_load_word(x + 4 * i);
        columns[0] = mm_add_even_bytes(offsets, word);
        columns[2] = mm_add_odd_bytes(offsets, word);
      }
    } else {
      const int32_t from = mm_max(4 * i, begin), to = mm_min(4 * i + 4, end);
      uint32_t word = zeros;
      for (int32_t k = from; k < to; ++k) {
        const int32_t at = 8 * (k - 4 * i);
        word = (word & ~(UINT32_C(0xff) << at)) | (uint32_t)(uint8_t)x[k] << at;
      }
      columns[0] = mm_add_even_bytes(offsets, word);
      columns[2] = mm_add_odd_bytes(offsets, word);
      columns += 4;
      ++i;
    }
  }
  return columns;
}

/* An output pixel's window: its rows inside the image, and where its first byte lies (not in the image, maybe). */
typedef struct {
  int32_t left, first_row, last_row, corner;
  int whole;
} mm_packed_window;

/* From output pixel to output pixel. */
typedef struct {
  const mm_conv2d_s8_params* p;
  int32_t row, column;
  int32_t step, most_left; /* bytes from window to window; the last left edge inside the image */
  mm_packed_window next;
  int whole_rows;
} mm_packed_walk;

MM_APART void mm_packed_start_row(mm_packed_walk* walk) {
  const mm_conv2d_s8_params* p = walk->p;
  const int32_t top = walk->row * p->stride_h - p->pad_top;
  walk->column = 0;
  walk->step = p->stride_w * p->in_c;
  walk->most_left = p->in_w - 1 - (p->kernel_w - 1) * p->dilation_w;
  walk->next.left = -p->pad_left;
  walk->next.corner = (top * p->in_w - p->pad_left) * p->in_c;
  mm_clip_window(top, p->in_h, p->kernel_h, p->dilation_h, &walk->next.first_row, &walk->next.last_row);
  walk->whole_rows = walk->next.last_row - walk->next.first_row == p->kernel_h;
}

static inline void mm_packed_advance(mm_packed_walk* walk, mm_packed_window* w) {
  *w = walk->next;
  w->whole = walk->whole_rows && w->left >= 0 && w->left <= walk->most_left;
  walk->next.left += walk->p->stride_w;
  walk->next.corner += walk->step;
  if (++walk->column == walk->p->out_w) {
    ++walk->row;
    mm_packed_start_row(walk);
  }
}

/* The windows of the next two output pixels; of the last pixel alone twice the same. */
MM_APART void mm_packed_next_two(mm_packed_walk* walk, int two, mm_packed_window* w) {
  mm_packed_advance(walk, w);
  if (two) {
    mm_packed_advance(walk, w + 1);
  } else {
    w[1] = w[0];
  }
}

/* Blocks first…last-1 of two windows, of which one leaves the image or only a part is asked for. */
MM_APART void mm_packed_parts(const mm_conv2d_s8_params* p, const mm_packed_shape* s, const mm_packed_window* w,
                              const int8_t* input, int32_t first, int32_t last, uint32_t* columns) {
  const uint32_t offsets = mm_both_halves(p->input_offset);
  const int32_t row_step = p->dilation_h * p->in_w * p->in_c, run_step = p->dilation_w * p->in_c, blocks = s->run_blocks;
  const int8_t* const end = input + p->in_h * p->in_w * p->in_c;
  const int whole = w[0].whole && w[1].whole;
  int32_t at = 0; /* the first block of the run */
  for (int32_t i = 0; i < p->kernel_h; ++i) {
    for (int32_t run = 0; run < s->runs; ++run, at += blocks) {
      const int32_t from = mm_max(first - at, 0), to = mm_min(last - at, blocks);
      if (from >= to) continue;
      if (whole) {
        const int8_t* x = input + i * row_step + run * run_step + 4 * from;
        columns = mm_packed_two_runs(x + w[0].corner, x + w[1].corner, to - from, to == blocks ? s->run_bytes & 3 : 0, offsets,
                                     columns, end);
        continue;
      }
      for (int32_t k = 0; k < 2; ++k) {
        const int32_t column = w[k].left + run * p->dilation_w;
        const int32_t begin = mm_clamp(-column, 0, s->run_columns), behind = mm_clamp(p->in_w - column, 0, s->run_columns);
        const int some = begin < behind && i >= w[k].first_row && i < w[k].last_row; /* else no address in the image */
        mm_packed_clipped(some ? input + w[k].corner + i * row_step + run * run_step : input, some ? begin * p->in_c : 0,
                          some ? behind * p->in_c : 0, from, to, p->input_offset, columns + k);
      }
      columns += 4 * (to - from);
    }
  }
}

static inline void mm_packed_windows(const mm_conv2d_s8_params* p, const mm_packed_shape* s, const mm_packed_window* w,
                                     const int8_t* input, uint32_t* columns) {
  const int32_t row_step = p->dilation_h * p->in_w * p->in_c;
  if (w[0].whole && w[1].whole && s->runs == 1) {
    const uint32_t offsets = mm_both_halves(p->input_offset);
    const int8_t *x0 = input + w[0].corner, *x1 = input + w[1].corner;
    for (int32_t i = p->kernel_h; i > 1; --i, x0 += row_step, x1 += row_step) {
      columns = mm_packed_unpack_two(x0, x1, s->run_blocks, offsets, columns);
    }
    mm_packed_two_runs(x0, x1, s->run_blocks, s->run_bytes & 3, offsets, columns, input + p->in_h * p->in_w * p->in_c);
  } else {
    mm_packed_parts(p, s, w, input, 0, s->blocks, columns);
  }
}

/* All channels of one or two pixels whose columns are there. Returns where the next pixel's output lies. */
static inline int8_t* mm_packed_outputs(mm_packed_job* job, int32_t channels, int8_t* output, int two) {
  const int32_t full = channels & ~3;
  const int8_t* stream = job->stream;
  job->output0 = output;
  job->output1 = output + (two ? channels : 0);
  job->end = output + full;
  if (full > 0) stream = mm_packed_two_pixels(job);
  if (channels > full) mm_packed_rest(job, stream, output + full, job->output1 + full, channels - full);
  return job->output1 + channels;
}

/* 1×1, stride 1. */
MM_APART void mm_packed_points(mm_packed_job* job, const mm_conv2d_s8_params* p, const int8_t* x, int8_t* output,
                               uint32_t* columns) {
  const uint32_t offsets = mm_both_halves(p->input_offset);
  const int32_t depth = p->in_c, blocks = (depth + 3) / 4, channels = p->out_c;
  int32_t pixels = p->out_h * p->out_w;
  for (; pixels > 2; pixels -= 2, x += 2 * depth) { /* words behind these lie in the image, or the last two would not */
    mm_packed_unpack_two(x, x + depth, blocks, offsets, columns);
    output = mm_packed_outputs(job, channels, output, 1);
  }
  mm_packed_two_runs(x, pixels > 1 ? x + depth : x, blocks, depth & 3, offsets, columns, x + pixels * depth);
  mm_packed_outputs(job, channels, output, pixels > 1);
}

/* columns: scratch of mm_packed_conv2d_s8_scratch words. table: what every output byte is replaced by (the entry of 0, between
 * 128 others on either side), with limits of -128 and 127; or NULL. */
static inline void mm_packed_conv2d_s8(const mm_conv2d_s8_params* p, const int8_t* input, int8_t* output, const int8_t* table,
                                       uint32_t* columns) {
  const mm_packed_shape shape = mm_packed_conv2d_s8_shape(p);
  const int32_t pixels = p->out_h * p->out_w;
  mm_packed_job job;
  mm_packed_window windows[2];
  mm_packed_walk walk;
  mm_packed_set_columns(&job, columns, shape.blocks, 4);
  job.output_offset = p->output_offset;
  job.table = table;
  job.sums = NULL;
  job.stream = p->weights;
  if (mm_conv2d_s8_is_pointwise(p)) {
    mm_packed_points(&job, p, input, output, columns);
  } else {
    int8_t* y = output;
    walk.p = p;
    walk.row = 0;
    mm_packed_start_row(&walk);
    for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
      const int two = pixel + 1 < pixels;
      mm_packed_next_two(&walk, two, windows);
      mm_packed_windows(p, &shape, windows, input, columns);
      y = mm_packed_outputs(&job, p->out_c, y, two);
    }
  }
  mm_clamp_all(output, pixels * p->out_c, p->act_min, p->act_max);
}

/* The same for wide layers (packed_s8.h). */
static inline void mm_packed_wide_conv2d_s8(const mm_conv2d_s8_params* p, const int8_t* input, int8_t* output,
                                            const int8_t* table, uint32_t* columns) {
  const mm_packed_shape shape = mm_packed_conv2d_s8_shape(p);
  const int several = p->out_c > MM_PACKED_CHANNELS;
  const int32_t chunk = mm_packed_chunk(shape.blocks, several), pixels = p->out_h * p->out_w;
  const int32_t most = several ? MM_PACKED_CHANNELS : (p->out_c + 3) / 4 * 4;
  const mm_packed_wide wide = {p->bias, p->multiplier, p->shift, table, 1, p->output_offset, p->act_min, p->act_max};
  int32_t* const sums = (int32_t*)(columns + 4 * chunk);
  int8_t* const staged = (int8_t*)(sums + 2 * most);
  mm_packed_job job;
  mm_packed_window windows[2];
  mm_packed_walk walk;
  walk.p = p;
  walk.row = 0;
  mm_packed_start_row(&walk);
  job.output_offset = 0;
  job.table = NULL;
  for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
    const int two = pixel + 1 < pixels;
    int8_t *output0 = several ? staged : output, *output1 = output0 + (two ? p->out_c : 0);
    mm_packed_next_two(&walk, two, windows);
    job.stream = p->weights;
    for (int32_t first = 0; first < p->out_c; first += most) {
      const int32_t channels = mm_min(most, p->out_c - first);
      memset(sums, 0, (size_t)most * 2 * sizeof *sums);
      for (int32_t block = 0; block < shape.blocks; block += chunk) {
        const int32_t last = mm_min(block + chunk, shape.blocks);
        mm_packed_parts(p, &shape, windows, input, block, last, columns);
        mm_packed_set_columns(&job, columns, last - block, 4);
        job.output0 = job.output1 = (int8_t*)columns; /* counted up, not written */
        job.end = job.output0 + (channels + 3) / 4 * 4;
        job.sums = sums;
        job.stream = mm_packed_two_pixels(&job);
      }
      mm_packed_finish_wide(&wide, sums, first, channels, 2, output0 + first, output1 + first);
    }
    if (several) memcpy(output, staged, (size_t)(p->out_c * (1 + two)));
    output += (1 + two) * p->out_c;
  }
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_DSP */

#endif
