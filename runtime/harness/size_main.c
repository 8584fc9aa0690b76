/* The least program that runs the model: what its image takes is what the model takes. */
#include "model.h"
#include "ports.h"

ARENA_PLACE static model_arena arena;

int main(void) {
  return (int)model_run(arena.bytes, sizeof arena.bytes MORE_ARGUMENTS);
}
