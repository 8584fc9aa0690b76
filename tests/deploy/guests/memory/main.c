/* What start-up promises of .data, .bss and of variables in named banks. */
#include <string.h>

#include "board/print.h"

static volatile uint32_t initialised[3] = {11, 22, 33};
static volatile uint32_t zero[1000];
__attribute__((section(".ram.dtcm"))) static uint8_t fast[100 * 1024];
__attribute__((section(".ram.sram"))) static uint8_t large[200 * 1024];

int main(void) {
  if (initialised[0] != 11 || initialised[1] != 22 || initialised[2] != 33) return 1;
  for (uint32_t i = 0; i < 1000; ++i)
    if (zero[i] != 0) return 2;
  memset(fast, 7, sizeof fast);
  memset(large, 9, sizeof large);
  memcpy(large, fast, sizeof fast);
  mm_report("fast", (uint32_t)(uintptr_t)fast);
  mm_report("large", (uint32_t)(uintptr_t)large);
  return large[sizeof fast - 1] == 7 && large[sizeof fast] == 9 ? 0 : 3;
}
