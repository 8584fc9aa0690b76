/* Runs the stored inputs on this computer (or board) and compares every output byte with what is expected. When one
 * differs it names the first layer whose output differs. `make test`, or link it with model.c -DMODEL_TRACE. */
#include <stdio.h>
#include <string.h>

#include "../model.h"
#include "test_vectors.h"

enum { GUARD_BYTES = 64, GUARD = 0x5A };

/* Nothing may be written beside the arena. */
static struct {
  uint8_t before[GUARD_BYTES];
  model_arena arena;
  TEST_MORE_ARENAS
  uint8_t after[GUARD_BYTES];
} memory;

/* Of the arenas, the first as in test_port. */
static uint8_t* const arena_bases[] = {memory.arena.bytes TEST_MORE_BASES(memory)};

static int current_test, current_event, first_wrong_event;

/* FNV-1a, 32 bits. */
static uint32_t checksum(const int8_t* bytes, size_t count) {
  uint32_t hash = UINT32_C(2166136261);
  for (size_t i = 0; i < count; ++i) hash = (hash ^ (uint8_t)bytes[i]) * UINT32_C(16777619);
  return hash;
}

#ifdef MODEL_TRACE
void model_trace(int layer, const int8_t* output, size_t bytes) {
  (void)layer;
  if (first_wrong_event < 0 && checksum(output, bytes) != test_layers[current_event].checksum[current_test])
    first_wrong_event = current_event;
  ++current_event;
}
#endif

static int check(int holds, const char* what) {
  if (!holds) printf("FAILED: %s\n", what);
  return holds ? 0 : 1;
}

static int guards_are_whole(void) {
  for (int i = 0; i < GUARD_BYTES; ++i)
    if (memory.before[i] != GUARD || memory.after[i] != GUARD) return 0;
  return 1;
}

static int compare_outputs(const int8_t* expected) {
  int failures = 0;
  for (int k = 0; k < TEST_OUTPUTS; ++k) {
    const int8_t* found = (const int8_t*)arena_bases[test_outputs[k].arena] + test_outputs[k].offset;
    for (size_t i = 0; i < test_outputs[k].bytes; ++i) {
      if (found[i] == expected[i]) continue;
      printf("FAILED: input %d, output %s, byte %lu: expected %d, found %d\n", current_test, test_outputs[k].name,
             (unsigned long)i, expected[i], found[i]);
      ++failures;
      break;
    }
    expected += test_outputs[k].bytes;
  }
  return failures;
}

static int run_test(int test) {
  const int8_t* input = test_input_bytes[test];
  int failures = 0;
  current_test = test;
  current_event = 0;
  first_wrong_event = -1;
  memset(&memory, GUARD, sizeof memory);
  for (int k = 0; k < TEST_INPUTS; ++k) {
    memcpy(arena_bases[test_inputs[k].arena] + test_inputs[k].offset, input, test_inputs[k].bytes);
    input += test_inputs[k].bytes;
  }
  failures += check(model_run(memory.arena.bytes, sizeof memory.arena.bytes TEST_MORE_ARGUMENTS(memory)) == MODEL_OK, "model_run() returns MODEL_OK");
  failures += compare_outputs(test_output_bytes[test]);
  if (first_wrong_event >= 0) {
    printf("FAILED: input %d: the first layer that differs is %s\n", test, test_layers[first_wrong_event].name);
    ++failures;
  }
  return failures + check(guards_are_whole(), "nothing is written beside the arena");
}

int main(void) {
  int failures = 0;
  failures += check(model_run(NULL, MODEL_ARENA_BYTES TEST_MORE_ARGUMENTS(memory)) == MODEL_ERROR_ALIGNMENT, "no arena is an error");
  failures += check(model_run(memory.arena.bytes + 1, MODEL_ARENA_BYTES TEST_MORE_ARGUMENTS(memory)) == MODEL_ERROR_ALIGNMENT, "a misaligned arena is an error");
  failures += check(model_run(memory.arena.bytes, MODEL_ARENA_BYTES - 1 TEST_MORE_ARGUMENTS(memory)) == MODEL_ERROR_ARENA_BYTES, "a small arena is an error");
  for (int test = 0; test < TEST_COUNT; ++test) failures += run_test(test);
  if (failures == 0) printf("self test passed: %d inputs, every output byte as expected\n", TEST_COUNT);
  return failures == 0 ? 0 : 1;
}
