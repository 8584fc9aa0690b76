/* From reset to main() on any Cortex-M, and from a fault to a report.
 *
 * The linker script (sections.ld) puts the stack at the lowest address of the first RAM bank, so that what
 * overflows it leaves the memory instead of eating data, and guard_stack() makes it fault. A fault ends the
 * program with status MM_FAULT_STATUS after one line for the host, "!fault …", whose registers the emulator
 * runner explains. */
#include <stddef.h>
#include <stdint.h>

#include "cortex_m.h"
#include "instruction_clock.h"
#include "print.h"
#include "semihosting.h"
#include "stack.h"

enum { MM_FAULT_STATUS = 250 };

extern uint32_t mm_stack_bottom[], mm_stack_top[];
extern uint32_t mm_data_start[], mm_data_end[], mm_bss_start[], mm_bss_end[];
extern const uint32_t mm_data_load[];

int main(void);
void mm_reset(void);
void mm_fault(void);
void mm_report_fault(const uint32_t* frame);
void mm_systick_handler(void);

/* Stands when the image does without instruction_clock.c. */
__attribute__((weak)) void mm_systick_handler(void) {}

struct vectors {
  const uint32_t* stack_top;
  void (*handlers[15])(void);
};

/* Vectors of the architecture alone: nothing enables a device interrupt. */
__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    mm_stack_top,
    {mm_reset, mm_fault /* NMI */, mm_fault /* HardFault */, mm_fault /* MemManage */,
     mm_fault /* BusFault */, mm_fault /* UsageFault */, mm_fault /* SecureFault */, 0, 0, 0,
     mm_fault /* SVCall */, mm_fault /* DebugMonitor */, 0, mm_fault /* PendSV */, mm_systick_handler}};

/* Makes a stack that overflows fault, also where what lies below it swallows writes in silence: a limit
 * register on Armv8-M, 64 kB without access on Armv7-M. */
static void guard_stack(void) {
  const uint32_t bottom = (uint32_t)(uintptr_t)mm_stack_bottom;
#if __ARM_ARCH >= 8
  __asm__ volatile("msr msplim, %0" ::"r"(bottom));
#elif __ARM_ARCH == 7
  uint32_t log2_bytes = 16;
  while (log2_bytes > 5 && (bottom & ((1u << log2_bytes) - 1u)) != 0) --log2_bytes; /* aligned to its size */
  if ((MM_MPU_TYPE & MM_MPU_TYPE_REGIONS) == 0 || bottom < (1u << log2_bytes)) return;
  MM_MPU_RNR = 0;
  MM_MPU_RBAR = bottom - (1u << log2_bytes);
  MM_MPU_RASR = (log2_bytes - 1u) << 1 | 1u;
  MM_MPU_CTRL = MM_MPU_CTRL_DEFAULT_MAP | MM_MPU_CTRL_ENABLE;
#else
  (void)bottom;
#endif
  __asm__ volatile("dsb\n\tisb" ::: "memory");
}

__attribute__((noinline, noreturn, used)) static void start(void) {
  /* Volatile keeps these loops: as memcpy and memset they would add half a kilobyte to every image. */
  const uint32_t* from = mm_data_load;
  for (volatile uint32_t* to = mm_data_start; to < mm_data_end;) *to++ = *from++;
  for (volatile uint32_t* to = mm_bss_start; to < mm_bss_end;) *to++ = 0;
  guard_stack();
  mm_stack_paint();
  mm_clock_start();
  mm_host_exit(main());
  for (;;) {
  }
}

/* Nothing here may need the FPU, not even to save a register: what does is in start(). */
void mm_reset(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  MM_CPACR |= MM_CPACR_FPU;
#endif
#if defined(__ARM_FEATURE_MVE)
  MM_CCR |= MM_CCR_LOB;
#endif
#if __ARM_ARCH_PROFILE == 'M' && __ARM_ARCH >= 7
  MM_VTOR = (uint32_t)(uintptr_t)&vectors;
#endif
  __asm__ volatile("dsb\n\tisb" ::: "memory");
  start();
}

/* Finds the registers that the exception saved, and makes room to report them when the stack is used up. */
__attribute__((naked)) void mm_fault(void) {
  __asm__ volatile(
      ".syntax unified           \n" /* not yet the compiler's default for Armv6-M */
      "mrs  r0, msp              \n"
      "ldr  r1, =mm_stack_bottom \n"
      "movs r2, #255             \n"
      "adds r1, r1, r2           \n"
      "cmp  r0, r1               \n"
      "bhs  1f                   \n"
      "ldr  r1, =mm_stack_top    \n"
      "mov  sp, r1               \n"
      "1: ldr r1, =mm_report_fault \n"
      "bx   r1                   \n"
      ".ltorg                    \n");
}

static void field(const char* name, uint32_t value) {
  mm_host_print(name);
  mm_print_hex(value);
}

void mm_report_fault(const uint32_t* frame) {
  /* An overflowing stack leaves no frame to read. */
  const int whole =
      (uintptr_t)frame >= (uintptr_t)mm_stack_bottom && (uintptr_t)(frame + 8) <= (uintptr_t)mm_stack_top;
  field("\n!fault vector ", MM_ICSR & MM_ICSR_VECTACTIVE);
  field(" pc ", whole ? frame[6] : 0xFFFFFFFFu);
  field(" lr ", whole ? frame[5] : 0xFFFFFFFFu);
  field(" sp ", (uint32_t)(uintptr_t)frame);
#if __ARM_ARCH >= 7
  field(" cfsr ", MM_CFSR);
  field(" hfsr ", MM_HFSR);
  field(" mmfar ", MM_MMFAR);
  field(" bfar ", MM_BFAR);
#endif
  mm_host_print("\n");
  mm_host_exit(MM_FAULT_STATUS);
}
