/* Runs the first input of inputs.bin with a model that was compiled with MODEL_TRACE: writes every layer's outputs to
 * trace.bin and reports "layer_instructions" once an output (a layer's later outputs count nearly nothing). */
#include "arena.h"
#include "board/instruction_clock.h"
#include "board/print.h"

enum { CANNOT_READ = 2, CANNOT_WRITE, REFUSED };

static int trace_file, failed;
static uint64_t since;

void model_trace(int layer, const int8_t* output, size_t bytes) {
  const uint64_t instructions = mm_clock_since(since);
  (void)layer;
  mm_report("layer_instructions", instructions);
  if (mm_host_write(trace_file, output, bytes) != 0) failed = 1;
  since = mm_clock_now();
}

int main(void) {
  const int from = mm_host_open("inputs.bin", MM_HOST_READ);
  if (from < 0 || read_inputs(from) != 0) return CANNOT_READ;
  mm_host_close(from);
  trace_file = mm_host_open("trace.bin", MM_HOST_WRITE);
  if (trace_file < 0) return CANNOT_WRITE;
  since = mm_clock_now();
  const model_status status = model_run(arena.bytes, sizeof arena.bytes);
  if (mm_host_close(trace_file) != 0 || failed) return CANNOT_WRITE;
  return status == MODEL_OK ? 0 : REFUSED;
}
