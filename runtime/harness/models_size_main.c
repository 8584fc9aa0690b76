/* The least program that runs several models: what its image takes is what they take together. */
#include "models_table.h"

ARENA_PLACE static models_arena arena;

int main(void) {
  int status = 0;
  for (int m = 0; m < MODEL_COUNT; ++m) status += table[m].run((uint8_t*)&arena, sizeof arena);
  return status;
}
