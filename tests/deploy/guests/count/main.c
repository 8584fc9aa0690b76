/* Loops of known length: 2 instructions a round, and the instruction that loads the counter. */
#include "board/instruction_clock.h"
#include "board/print.h"

static void loop(uint32_t rounds) {
#if defined(__riscv)
  __asm__ volatile(
      "1: addi %0, %0, -1 \n"
      "bnez %0, 1b        \n"
      : "+r"(rounds));
#else
  __asm__ volatile(
      ".syntax unified    \n"
      "1: subs %0, %0, #1 \n"
      "bne 1b             \n"
      : "+r"(rounds)
      :
      : "cc");
#endif
}

int main(void) {
  mm_host_print("hello from the chip\n");
  const uint64_t nothing = mm_clock_now();
  mm_report("nothing", mm_clock_since(nothing));

  const uint64_t small = mm_clock_now();
  loop(50);
  mm_report("hundred", mm_clock_since(small));

  const uint64_t large = mm_clock_now();
  loop(10000000u);
  mm_report("twenty_million", mm_clock_since(large));
  return 0;
}
