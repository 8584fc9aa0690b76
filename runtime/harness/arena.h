/* The arena of the measuring programs, and reading one inference's inputs into it. */
#ifndef MM_HARNESS_ARENA_H
#define MM_HARNESS_ARENA_H

#include "board/semihosting.h"
#include "model.h"
#include "ports.h" /* generated: INPUT_COUNT, OUTPUT_COUNT, INPUT_BYTES, inputs[], outputs[], ARENA_PLACE */

ARENA_PLACE static model_arena arena;

static inline int read_inputs(int file) {
  for (int k = 0; k < INPUT_COUNT; ++k)
    if (mm_host_read(file, arena.bytes + inputs[k].offset, inputs[k].bytes) != (long)inputs[k].bytes) return -1;
  return 0;
}

#endif
