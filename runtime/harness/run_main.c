/* Runs the model on every input of inputs.bin and writes outputs.bin; reports instructions and stack.
 *
 * The first input runs twice: once with interrupts off on a painted stack, once on the clock. */
#include "arena.h"
#include "board/instruction_clock.h"
#include "board/print.h"
#include "board/stack.h"

enum { CANNOT_READ = 2, CANNOT_WRITE, REFUSED };

static int measure_stack(void) {
  __asm__ volatile("cpsid i" ::: "memory");
  const size_t before = mm_stack_depth();
  mm_stack_paint();
  const model_status status = model_run(arena.bytes, sizeof arena.bytes);
  const size_t used = mm_stack_used();
  __asm__ volatile("cpsie i" ::: "memory");
  mm_report("stack_bytes", used - before);
  return status == MODEL_OK ? 0 : REFUSED;
}

static int run_all(int from, int to, unsigned long count) {
  uint64_t first = 0, most = 0;
  for (unsigned long i = 0; i < count; ++i) {
    if (read_inputs(from) != 0) return CANNOT_READ;
    const uint64_t start = mm_clock_now();
    const model_status status = model_run(arena.bytes, sizeof arena.bytes);
    const uint64_t instructions = mm_clock_since(start);
    if (status != MODEL_OK) return REFUSED;
    if (i == 0) first = instructions;
    if (instructions > most) most = instructions;
    for (int k = 0; k < OUTPUT_COUNT; ++k)
      if (mm_host_write(to, arena.bytes + outputs[k].offset, outputs[k].bytes) != 0) return CANNOT_WRITE;
  }
  mm_report("instructions", first);
  mm_report("instructions_most", most);
  return 0;
}

int main(void) {
  int from = mm_host_open("inputs.bin", MM_HOST_READ);
  if (from < 0 || read_inputs(from) != 0) return CANNOT_READ;
  int status = measure_stack();
  mm_host_close(from);
  from = mm_host_open("inputs.bin", MM_HOST_READ);
  const int to = mm_host_open("outputs.bin", MM_HOST_WRITE);
  if (from < 0) return CANNOT_READ;
  if (to < 0) return CANNOT_WRITE;
  if (status == 0) status = run_all(from, to, (unsigned long)mm_host_length(from) / INPUT_BYTES);
  mm_host_close(from);
  if (mm_host_close(to) != 0 && status == 0) status = CANNOT_WRITE;
  return status;
}
