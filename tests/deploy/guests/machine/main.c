/* The units that start-up has to switch on: FPU, and on cores with MVE vectors and low-overhead loops. */
#include "board/print.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

static float halve(volatile float x) {
  return x * 0.5f;
}

#if defined(__ARM_FEATURE_MVE)
static int32_t dot(const int8_t* a, const int8_t* b) {
  return vmladavaq_s8(0, vldrbq_s8(a), vldrbq_s8(b));
}
#else
static int32_t dot(const int8_t* a, const int8_t* b) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += a[i] * b[i];
  return sum;
}
#endif

int main(void) {
  static const int8_t a[16] = {1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4, -5, -6, -7, -128};
  static const int8_t b[16] = {1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 127};
  uint32_t rounds = 0;
#if defined(__ARM_FEATURE_MVE)
  __asm__ volatile(
      "dls lr, %1         \n"
      "1: add %0, %0, #3  \n"
      "le lr, 1b          \n"
      : "+r"(rounds)
      : "r"(100)
      : "lr");
#else
  rounds = 300;
#endif
  mm_report("rounds", rounds);
  mm_report("half", (uint32_t)halve(9000.0f));
  mm_print_i32(dot(a, b)); /* 36 - 56 - 128 * 127 */
  mm_host_print("\n");
  return 0;
}
