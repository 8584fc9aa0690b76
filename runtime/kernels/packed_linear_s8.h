/* Fully connected layer for cores with the DSP extension, on weights laid out for it (packed_s8.h).
 *
 * The bytes are those of linear_s8.h, whose parameter struct serves here too; `weights` is the stream of packed_s8.h, and
 * bias, multiplier and shift are read for wide layers only.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_PACKED_LINEAR_S8_H
#define MICROMIND_RUNTIME_KERNELS_PACKED_LINEAR_S8_H

#include "linear_s8.h"
#include "packed_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Scratch in words. */
static inline int32_t mm_packed_linear_s8_scratch(const mm_linear_s8_params* p, int wide) {
  const int32_t blocks = (p->in_features + 3) / 4;
  return wide ? 2 * mm_packed_chunk(blocks, 0) + mm_min(MM_PACKED_CHANNELS, (p->out_features + 3) / 4 * 4) : 2 * blocks;
}

#ifdef __cplusplus
}
#endif

#if MM_HAS_DSP

#ifdef __cplusplus
extern "C" {
#endif

/* One pixel by itself. */
MM_APART void mm_packed_single(const int8_t* x, int32_t bytes, uint32_t offsets, uint32_t* columns) {
  for (; bytes >= 4; bytes -= 4, x += 4, columns += 2) {
    const uint32_t word = mm_load_word(x);
    columns[0] = mm_add_even_bytes(offsets, word);
    columns[1] = mm_add_odd_bytes(offsets, word);
  }
  if (bytes > 0) {
    const uint32_t word = mm_load_bytes(x, bytes);
    columns[0] = mm_add_even_bytes(offsets, word);
    columns[1] = mm_add_odd_bytes(offsets, word);
  }
}

/* columns: scratch of mm_packed_linear_s8_scratch words. */
static inline void mm_packed_linear_s8(const mm_linear_s8_params* p, const int8_t* input, int8_t* output,
                                       uint32_t* columns) {
  const int32_t rest = p->out_features & 3, full = p->out_features & ~3;
  const int8_t* stream;
  mm_packed_job job;
  mm_packed_single(input, p->in_features, mm_both_halves(p->input_offset), columns);
  mm_packed_set_columns(&job, columns, (p->in_features + 3) / 4, 2);
  job.stream = p->weights;
  job.output0 = job.output1 = output;
  job.end = output + full;
  job.output_offset = p->output_offset;
  job.table = NULL;
  job.sums = NULL;
  stream = full > 0 ? mm_packed_one_pixel(&job) : p->weights;
  if (rest > 0) mm_packed_rest(&job, stream, output + full, NULL, rest);
  mm_clamp_all(output, p->out_features, p->act_min, p->act_max);
}

/* The same for wide layers (packed_s8.h). */
static inline void mm_packed_wide_linear_s8(const mm_linear_s8_params* p, const int8_t* input, int8_t* output,
                                            uint32_t* columns) {
  const int32_t blocks = (p->in_features + 3) / 4, chunk = mm_packed_chunk(blocks, 0);
  const int32_t most = mm_min(MM_PACKED_CHANNELS, (p->out_features + 3) / 4 * 4);
  const mm_packed_wide wide = {p->bias,           p->multiplier,    p->shift,   NULL,
                               p->per_channel,    p->output_offset, p->act_min, p->act_max};
  int32_t* const sums = (int32_t*)(columns + 2 * chunk);
  mm_packed_job job;
  job.output_offset = 0;
  job.table = NULL;
  job.stream = p->weights;
  for (int32_t first = 0; first < p->out_features; first += most) {
    const int32_t channels = mm_min(most, p->out_features - first);
    memset(sums, 0, (size_t)most * sizeof *sums);
    for (int32_t block = 0; block < blocks; block += chunk) {
      const int32_t last = mm_min(block + chunk, blocks);
      mm_packed_single(input + 4 * block, mm_min(4 * (last - block), p->in_features - 4 * block),
                       mm_both_halves(p->input_offset), columns);
      mm_packed_set_columns(&job, columns, last - block, 2);
      job.output0 = job.output1 = (int8_t*)columns; /* counted up, not written */
      job.end = job.output0 + (channels + 3) / 4 * 4;
      job.sums = sums;
      job.stream = mm_packed_one_pixel(&job);
    }
    mm_packed_finish_wide(&wide, sums, first, channels, 1, output + first, NULL);
  }
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_DSP */

#endif
