/* What the common helpers need of the architecture, in a line of assembly each: Arm M-profile. */
#ifndef MM_PROCESSOR_H
#define MM_PROCESSOR_H

#include <stdint.h>

static inline uintptr_t mm_stack_pointer(void) {
  uintptr_t sp;
  __asm__ volatile("mov %0, sp" : "=r"(sp));
  return sp;
}

/* The clock's interrupt is no work of the program. */
static inline void mm_interrupts_off(void) {
  __asm__ volatile("cpsid i" ::: "memory");
}
static inline void mm_interrupts_on(void) {
  __asm__ volatile("cpsie i" ::: "memory");
}

/* A semihosting call: BKPT 0xAB with the operation in r0 and its argument in r1. */
static inline intptr_t mm_host_call(uintptr_t operation, uintptr_t argument) {
  register uintptr_t r0 __asm__("r0") = operation;
  register uintptr_t r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory", "cc");
  return (intptr_t)r0;
}

#endif
