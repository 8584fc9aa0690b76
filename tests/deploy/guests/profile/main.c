/* Known instructions between the marks, by hand. */
#include "board/print.h"
#include "board/profile.h"

static uint32_t table[4] = {8, 4, 2, 1};

static void nothing(void) {
  mm_profile_start();
  mm_profile_stop();
  __asm__ volatile(""); /* no tail call */
}

/* Ten rounds of: load, load, multiply, add, store, subtract, branch. */
static __attribute__((noipa)) void loop(uint32_t* words) {
  mm_profile_start();
  __asm__ volatile(
      ".syntax unified       \n"
      "movs r0, #10          \n"
      "1: ldr r1, [%0]       \n"
      "ldr r2, [%0, #4]      \n"
      "muls r1, r2           \n"
      "adds r1, r1, r2       \n"
      "str r1, [%0, #8]      \n"
      "subs r0, #1           \n"
      "bne 1b                \n"
      "cmp r0, #1            \n"
      "beq 2f                \n" /* not taken */
      "push {r0, r1, r2, r3} \n"
      "pop {r0, r1, r2, r3}  \n"
      "2:                    \n"
      :
      : "l"(words)
      : "r0", "r1", "r2", "cc", "memory");
  mm_profile_stop();
  __asm__ volatile(""); /* no tail call */
}

static __attribute__((noinline)) void uncounted(void) {
  __asm__ volatile("nop\n nop\n nop");
}

static void call(void) {
  mm_profile_start();
  uncounted();
  mm_profile_stop();
  __asm__ volatile(""); /* no tail call */
}

#if defined(__ARM_FEATURE_DSP)
static __attribute__((noipa)) void wide(uint32_t* words) {
  mm_profile_start();
  __asm__ volatile(
      "ldrd r0, r1, [%0]       \n"
      "smlad r0, r1, r0, r1    \n"
      "sxtb16 r1, r0           \n"
      "umull r0, r1, r0, r1    \n"
      "movs r1, #3             \n"
      "udiv r0, r0, r1         \n"
      "mla r0, r1, r0, r1      \n"
      "it eq                   \n"
      "moveq r0, r1            \n"
      :
      : "r"(words)
      : "r0", "r1", "cc");
  mm_profile_stop();
  __asm__ volatile(""); /* no tail call */
}
#endif

int main(void) {
  nothing();
  loop(table);
  call();
#if defined(__ARM_FEATURE_DSP)
  wide(table);
#endif
  mm_report("end", 1);
  return 0;
}
