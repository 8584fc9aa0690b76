/* Runs the model on every input of inputs.bin and writes outputs.bin; reports instructions, stack and arena.
 *
 * The first input runs three times: twice with interrupts off on painted stack and arena, once on the clock. */
#include "arena.h"
#include "board/instruction_clock.h"
#include "board/print.h"
#include "board/processor.h"
#include "board/stack.h"

enum { CANNOT_READ = 2, CANNOT_WRITE, REFUSED };

/* Paints all of the (first) arena but the inputs, and the guard behind it. */
static void paint(uint8_t pattern) {
  volatile uint8_t* byte = (volatile uint8_t*)&memory;
  for (size_t i = 0; i < sizeof memory; ++i) {
    int is_input = 0;
    for (int k = 0; k < INPUT_COUNT; ++k)
      if (inputs[k].bank == 0 && i >= inputs[k].offset && i - inputs[k].offset < inputs[k].bytes) is_input = 1;
    if (!is_input) byte[i] = pattern;
  }
}

static size_t touched(uint8_t pattern) {
  const volatile uint8_t* byte = (const volatile uint8_t*)&memory;
  size_t end = sizeof memory;
  while (end > 0 && byte[end - 1] == pattern) --end;
  return end;
}

static int measure_memory(int from) {
  static const uint8_t patterns[2] = {0x5A, 0xA5}; /* whatever is written differs from one of them */
  size_t arena_used = 0, stack_used = 0;
  for (int k = 0; k < INPUT_COUNT; ++k)
    if (inputs[k].bank == 0 && inputs[k].offset + inputs[k].bytes > arena_used) arena_used = inputs[k].offset + inputs[k].bytes;
  for (int run = 0; run < 2; ++run) {
    if (mm_host_seek(from, 0) != 0 || read_inputs(from) != 0) return CANNOT_READ;
    paint(patterns[run]);
    mm_interrupts_off();
    const size_t before = mm_stack_depth();
    mm_stack_paint();
    const model_status status = model_run(arena.bytes, sizeof arena.bytes MORE_ARGUMENTS);
    const size_t used = mm_stack_used() - before;
    mm_interrupts_on();
    if (status != MODEL_OK) return REFUSED;
    const size_t end = touched(patterns[run]);
    if (end > arena_used) arena_used = end;
    if (used > stack_used) stack_used = used;
  }
  mm_report("stack_bytes", stack_used);
  mm_report("arena_used_bytes", arena_used);
  return 0;
}

static int run_all(int from, int to, unsigned long count) {
  uint64_t first = 0, most = 0;
  for (unsigned long i = 0; i < count; ++i) {
    if (read_inputs(from) != 0) return CANNOT_READ;
    const uint64_t start = mm_clock_now();
    const model_status status = model_run(arena.bytes, sizeof arena.bytes MORE_ARGUMENTS);
    const uint64_t instructions = mm_clock_since(start);
    if (status != MODEL_OK) return REFUSED;
    if (i == 0) first = instructions;
    if (instructions > most) most = instructions;
    for (int k = 0; k < OUTPUT_COUNT; ++k)
      if (mm_host_write(to, arena_bases[outputs[k].bank] + outputs[k].offset, outputs[k].bytes) != 0) return CANNOT_WRITE;
  }
  mm_report("instructions", first);
  mm_report("instructions_most", most);
  return 0;
}

int main(void) {
  const int from = mm_host_open("inputs.bin", MM_HOST_READ);
  if (from < 0) return CANNOT_READ;
  int status = measure_memory(from);
  if (status == 0 && mm_host_seek(from, 0) != 0) status = CANNOT_READ;
  const int to = mm_host_open("outputs.bin", MM_HOST_WRITE);
  if (to < 0) return CANNOT_WRITE;
  if (status == 0) status = run_all(from, to, (unsigned long)mm_host_length(from) / INPUT_BYTES);
  mm_host_close(from);
  if (mm_host_close(to) != 0 && status == 0) status = CANNOT_WRITE;
  return status;
}
