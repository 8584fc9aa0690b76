#include "stack.h"

#include <stdint.h>

#include "processor.h"

/* The linker script's; the stack grows from the top down. */
extern volatile uint32_t mm_stack_bottom[], mm_stack_top[];

static const uint32_t pattern = 0xC5A3E17Bu; /* unlikely as data, no valid address */

/* The words are volatile lest the loop become a call whose frame would be painted over. */
void mm_stack_paint(void) {
  const uintptr_t end = mm_stack_pointer();
  for (volatile uint32_t* word = mm_stack_bottom; (uintptr_t)word < end; ++word) *word = pattern;
}

size_t mm_stack_used(void) {
  const volatile uint32_t* word = mm_stack_bottom;
  while (word < mm_stack_top && *word == pattern) ++word;
  return (size_t)((uintptr_t)mm_stack_top - (uintptr_t)word);
}

size_t mm_stack_depth(void) {
  return (size_t)((uintptr_t)mm_stack_top - mm_stack_pointer());
}

size_t mm_stack_size(void) {
  return (size_t)((uintptr_t)mm_stack_top - (uintptr_t)mm_stack_bottom);
}
