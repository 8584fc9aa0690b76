/* Recurses until the stack is used up. */
#include "board/print.h"

__attribute__((noinline)) static uint32_t recurse(volatile uint32_t depth) {
  volatile uint32_t frame[16];
  frame[depth & 15u] = depth;
  return depth == 0 ? 0 : recurse(depth + 1u) + frame[3];
}

int main(void) {
  mm_host_print("going down\n");
  return (int)recurse(1);
}
