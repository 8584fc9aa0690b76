#include "instruction_clock.h"

#include "cortex_m.h"
#include "machine.h"

enum { RELOAD = 0xFFFFFF };

static volatile uint32_t wraps;
static uint64_t overhead; /* instructions that a measurement of nothing reads */

/* Overrides the weak entry of the vector table. */
void mm_systick_handler(void) {
  wraps = wraps + 1u;
}

__attribute__((noinline)) uint64_t mm_clock_now(void) {
  uint32_t before, value, pending;
  do {
    before = wraps;
    value = MM_SYST_CVR;
    pending = MM_ICSR & MM_ICSR_PENDSTSET;
  } while (before != wraps);
  /* A wrap that is pending and already shows in the value (which then is high) has not been counted yet. */
  if (pending != 0 && value > RELOAD / 2) ++before;
  return ((uint64_t)before << 24) + (RELOAD - value);
}

__attribute__((noinline)) uint64_t mm_clock_since(uint64_t ticks) {
  const uint64_t elapsed = mm_clock_now() - ticks;
  const uint64_t instructions =
      (elapsed * MM_CLOCK_NUMERATOR + MM_CLOCK_DENOMINATOR / 2) / MM_CLOCK_DENOMINATOR;
  return instructions > overhead ? instructions - overhead : 0;
}

void mm_clock_start(void) {
  MM_SYST_CSR = 0;
  wraps = 0;
  overhead = 0;
  MM_SYST_RVR = RELOAD;
  MM_SYST_CVR = 0;
  MM_SYST_CSR = MM_SYST_CSR_CLKSOURCE | MM_SYST_CSR_TICKINT | MM_SYST_CSR_ENABLE;
  while (MM_SYST_CVR == 0) {
  } /* the first tick loads the counter */
  overhead = mm_clock_since(mm_clock_now());
}
