/* Faults in the way that FAULT chooses. */
#include "board/print.h"

__attribute__((noinline)) static void crash(void) {
#if FAULT == 1 && defined(__riscv)
  __asm__ volatile("unimp");
#elif FAULT == 1
  __asm__ volatile("udf #0");
#elif FAULT == 2
#if defined(__riscv)
  *(volatile uint32_t*)0x90000000u = 1u; /* behind the board's memory */
#elif __ARM_ARCH >= 7
  *(volatile uint32_t*)0x5F000000u = 1u; /* no memory there on any of the machines */
#else
  *(volatile uint32_t*)0xAF000000u = 1u; /* below lie the peripherals of this one */
#endif
#elif FAULT == 3
  ((void (*)(void))0x90000000u)(); /* Arm state: an even address. RISC-V: no memory */
#endif
}

int main(void) {
  mm_host_print("about to crash\n");
  crash();
  return 0;
}
