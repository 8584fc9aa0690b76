#include "stack.h"

#include <stdint.h>

/* The linker script's; the stack grows from the top down. */
extern volatile uint32_t mm_stack_bottom[], mm_stack_top[];

static const uint32_t pattern = 0xC5A3E17Bu; /* unlikely as data, no valid address */

static uintptr_t stack_pointer(void) {
  uintptr_t sp;
  __asm__ volatile("mov %0, sp" : "=r"(sp));
  return sp;
}

/* The words are volatile lest the loop become a call whose frame would be painted over. */
void mm_stack_paint(void) {
  const uintptr_t end = stack_pointer();
  for (volatile uint32_t* word = mm_stack_bottom; (uintptr_t)word < end; ++word) *word = pattern;
}

size_t mm_stack_used(void) {
  const volatile uint32_t* word = mm_stack_bottom;
  while (word < mm_stack_top && *word == pattern) ++word;
  return (size_t)((uintptr_t)mm_stack_top - (uintptr_t)word);
}

size_t mm_stack_depth(void) {
  return (size_t)((uintptr_t)mm_stack_top - stack_pointer());
}

size_t mm_stack_size(void) {
  return (size_t)((uintptr_t)mm_stack_top - (uintptr_t)mm_stack_bottom);
}
