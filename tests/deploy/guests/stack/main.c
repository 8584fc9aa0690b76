/* A function with a frame of 2 kB, which it really fills. */
#include "board/print.h"
#include "board/stack.h"

__attribute__((noinline)) static uint32_t deep(uint32_t seed) {
  volatile uint8_t frame[2048];
  for (uint32_t i = 0; i < sizeof frame; ++i) frame[i] = (uint8_t)(seed + i);
  return frame[seed & 2047u];
}

int main(void) {
  const size_t depth = mm_stack_depth();
  mm_stack_paint();
  const size_t before = mm_stack_used();
  const uint32_t result = deep(5);
  const size_t after = mm_stack_used();
  mm_stack_paint();
  const size_t repainted = mm_stack_used();
  mm_report("size", mm_stack_size());
  mm_report("depth", depth);
  mm_report("before", before);
  mm_report("after", after);
  mm_report("repainted", repainted);
  return result == 10 ? 0 : 1;
}
