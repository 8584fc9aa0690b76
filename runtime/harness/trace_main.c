/* Runs every input of inputs.bin with a model that was compiled with MODEL_TRACE: writes every layer's outputs to
 * trace.bin and reports, of the first, "layer_instructions" once an output (a layer's later outputs count nearly
 * nothing). */
#include "arena.h"
#include "board/instruction_clock.h"
#include "board/print.h"

enum { CANNOT_READ = 2, CANNOT_WRITE, REFUSED };

static int trace_file, failed, first = 1;
static uint64_t since;

void model_trace(int layer, const int8_t* output, size_t bytes) {
  const uint64_t instructions = mm_clock_since(since);
  (void)layer;
  if (first) mm_report("layer_instructions", instructions);
  if (mm_host_write(trace_file, output, bytes) != 0) failed = 1;
  since = mm_clock_now();
}

int main(void) {
  const int from = mm_host_open("inputs.bin", MM_HOST_READ);
  if (from < 0) return CANNOT_READ;
  trace_file = mm_host_open("trace.bin", MM_HOST_WRITE);
  if (trace_file < 0) return CANNOT_WRITE;
  const unsigned long count = (unsigned long)mm_host_length(from) / INPUT_BYTES;
  for (unsigned long i = 0; i < count; ++i) {
    if (read_inputs(from) != 0) return CANNOT_READ;
    since = mm_clock_now();
    if (model_run(arena.bytes, sizeof arena.bytes MORE_ARGUMENTS) != MODEL_OK) return REFUSED;
    first = 0;
  }
  mm_host_close(from);
  return mm_host_close(trace_file) != 0 || failed ? CANNOT_WRITE : 0;
}
