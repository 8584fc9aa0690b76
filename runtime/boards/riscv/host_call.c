#include "processor.h"

/* Three uncompressed instructions that emulator and debugger know, the operation in a0 and its argument in a1
 * ("RISC-V Semihosting" 0.4). They may not straddle a page: a function of its own has the alignment. */
__attribute__((naked, noinline, aligned(16))) intptr_t mm_host_call(uintptr_t operation, uintptr_t argument) {
  (void)operation;
  (void)argument;
  __asm__ volatile(
      ".option push          \n"
      ".option norvc         \n"
      "slli zero, zero, 0x1f \n"
      "ebreak                \n"
      "srai zero, zero, 0x7  \n"
      ".option pop           \n"
      "ret                   \n");
}
