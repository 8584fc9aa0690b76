/* Runs several models of one image in turn on one arena: input 0 of each, input 1 of each, … Writes outputs_<k>.bin and reports each
 * model's instructions, of its first input. */
#include "board/instruction_clock.h"
#include "board/print.h"
#include "board/semihosting.h"
#include "models_table.h" /* generated: MODEL_COUNT, table[], ARENA_PLACE */

enum { CANNOT_READ = 2, CANNOT_WRITE, REFUSED };

ARENA_PLACE static models_arena arena;

static int run_one(const models_row* m, int from, int to, int first) {
  uint8_t* const bytes = (uint8_t*)&arena;
  for (int k = 0; k < m->inputs; ++k)
    if (mm_host_read(from, bytes + m->ports[k].offset, m->ports[k].bytes) != (long)m->ports[k].bytes) return CANNOT_READ;
  const uint64_t start = mm_clock_now();
  const int refused = m->run(bytes, sizeof arena);
  if (first) mm_report("instructions", mm_clock_since(start));
  if (refused) return REFUSED;
  for (int k = m->inputs; k < m->inputs + m->outputs; ++k)
    if (mm_host_write(to, bytes + m->ports[k].offset, m->ports[k].bytes) != 0) return CANNOT_WRITE;
  return 0;
}

int main(void) {
  int from[MODEL_COUNT], to[MODEL_COUNT], status = 0;
  for (int m = 0; m < MODEL_COUNT; ++m) {
    from[m] = mm_host_open(table[m].input_file, MM_HOST_READ);
    to[m] = mm_host_open(table[m].output_file, MM_HOST_WRITE);
    if (from[m] < 0) return CANNOT_READ;
    if (to[m] < 0) return CANNOT_WRITE;
  }
  for (int i = 0; status == 0 && i < INPUT_COUNT; ++i)
    for (int m = 0; status == 0 && m < MODEL_COUNT; ++m) status = run_one(&table[m], from[m], to[m], i == 0);
  for (int m = 0; m < MODEL_COUNT; ++m) {
    mm_host_close(from[m]);
    if (mm_host_close(to[m]) != 0 && status == 0) status = CANNOT_WRITE;
  }
  return status;
}
