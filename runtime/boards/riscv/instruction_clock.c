/* minstret counts retired instructions on silicon; the emulator's counts emulated time, of which every instruction takes
 * the same (machine.h has the ratio). */
#include "instruction_clock.h"

#include "machine.h"

static uint64_t overhead; /* instructions that a measurement of nothing reads */

#define READ_CSR(name, value) \
  __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, " name "\n.option pop" : "=r"(value))

__attribute__((noinline)) uint64_t mm_clock_now(void) {
#if __riscv_xlen == 64
  uint64_t value;
  READ_CSR("minstret", value);
  return value;
#else
  uint32_t high, low, again;
  do {
    READ_CSR("minstreth", high);
    READ_CSR("minstret", low);
    READ_CSR("minstreth", again);
  } while (high != again);
  return ((uint64_t)high << 32) | low;
#endif
}

__attribute__((noinline)) uint64_t mm_clock_since(uint64_t ticks) {
  const uint64_t elapsed = mm_clock_now() - ticks;
  const uint64_t instructions =
      (elapsed * MM_CLOCK_NUMERATOR + MM_CLOCK_DENOMINATOR / 2) / MM_CLOCK_DENOMINATOR;
  return instructions > overhead ? instructions - overhead : 0;
}

void mm_clock_start(void) {
  overhead = 0;
  overhead = mm_clock_since(mm_clock_now());
}
