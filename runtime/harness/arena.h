/* The arena of the measuring programs, between guard bytes that nothing may touch, and reading one inference's inputs
 * into it. */
#ifndef MM_HARNESS_ARENA_H
#define MM_HARNESS_ARENA_H

#include "board/semihosting.h"
#include "model.h"
#include "ports.h" /* generated: INPUT_COUNT, OUTPUT_COUNT, INPUT_BYTES, inputs[], outputs[], ARENA_PLACE, ARENA_GUARD, further arenas */

ARENA_PLACE static struct {
  model_arena arena;
#if ARENA_GUARD > 0
  uint8_t guard[ARENA_GUARD]; /* where the bank has room for it */
#endif
} memory;
#define arena memory.arena
static uint8_t* const arena_bases[] = {arena.bytes MORE_BASES};

static inline int read_inputs(int file) {
  for (int k = 0; k < INPUT_COUNT; ++k)
    if (mm_host_read(file, arena_bases[inputs[k].bank] + inputs[k].offset, inputs[k].bytes) != (long)inputs[k].bytes) return -1;
  return 0;
}

#endif
