/* Runs the first input of inputs.bin with a model that was compiled with MODEL_TRACE, each layer between two marks. What
 * model_trace() itself executes is not counted. */
#include "arena.h"
#include "board/processor.h"
#include "board/profile.h"

enum { CANNOT_READ = 2, CANNOT_WRITE, REFUSED };

void model_trace(int layer, const int8_t* output, size_t bytes) {
  (void)layer;
  (void)output;
  (void)bytes;
  mm_profile_stop();
  mm_profile_start();
}

int main(void) {
  const int from = mm_host_open("inputs.bin", MM_HOST_READ);
  if (from < 0 || read_inputs(from) != 0) return CANNOT_READ;
  mm_host_close(from);
  mm_interrupts_off(); /* the clock's interrupt is no work of the model */
  mm_profile_start();
  return model_run(arena.bytes, sizeof arena.bytes MORE_ARGUMENTS) == MODEL_OK ? 0 : REFUSED;
}
