/* What the common helpers need of the architecture, in a line of assembly each: RISC-V, 32 and 64 bits. */
#ifndef MM_PROCESSOR_H
#define MM_PROCESSOR_H

#include <stdint.h>

static inline uintptr_t mm_stack_pointer(void) {
  uintptr_t sp;
  __asm__ volatile("mv %0, sp" : "=r"(sp));
  return sp;
}

/* Nothing enables an interrupt here: the counter of instructions has 64 bits. */
static inline void mm_interrupts_off(void) {}
static inline void mm_interrupts_on(void) {}

intptr_t mm_host_call(uintptr_t operation, uintptr_t argument); /* a semihosting call */

#endif
