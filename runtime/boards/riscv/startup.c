/* From reset to main() on a RISC-V core in machine mode, and from a trap to a report.
 *
 * The linker script (sections.ld) puts the stack at the lowest address of the first RAM bank, and guard_stack() makes
 * what overflows it trap. A trap ends the program with status MM_FAULT_STATUS after one line for the host, "!fault …",
 * whose registers the emulator runner explains. Registers and bits: "The RISC-V Instruction Set Manual", volume II. */
#include <stddef.h>
#include <stdint.h>

#include "instruction_clock.h"
#include "print.h"
#include "semihosting.h"
#include "stack.h"

enum { MM_FAULT_STATUS = 250, GUARD_BYTES = 65536 };

extern uint32_t mm_stack_bottom[], mm_stack_top[];
extern uint32_t mm_data_start[], mm_data_end[], mm_bss_start[], mm_bss_end[];
extern const uint32_t mm_data_load[];

int main(void);
void mm_reset(void);
void mm_fault(void);
void mm_report_fault(uintptr_t stack, uintptr_t return_address);
void mm_start(void);

/* Control and status registers are an extension of their own in newer assemblers; every core here has it. */
#define WITH_CSR(text) ".option push\n.option arch, +zicsr\n" text "\n.option pop\n"

/* 64 kB below the stack without any access, locked so that it holds in machine mode too: an entry of physical memory
 * protection, a naturally aligned power of two (NAPOT). Cores without such entries read zero and stay as they are. */
static void guard_stack(void) {
  const uintptr_t bottom = (uintptr_t)mm_stack_bottom;
  uintptr_t bytes = GUARD_BYTES;
  while (bytes > 64 && (bottom & (bytes - 1)) != 0) bytes >>= 1; /* aligned to its size */
  if ((bottom & (bytes - 1)) != 0) return;
  const uintptr_t address = ((bottom - bytes) >> 2) | ((bytes >> 3) - 1);
  const uintptr_t locked_napot = 0x98u;
  __asm__ volatile(WITH_CSR("csrw pmpaddr0, %0\ncsrw pmpcfg0, %1") ::"r"(address), "r"(locked_napot));
}

__attribute__((noinline, noreturn, used)) void mm_start(void) {
  /* Volatile keeps these loops: as memcpy and memset they would add to every image. */
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

#ifdef __riscv_flen
#define FPU_ON "li t0, 0x2000\ncsrs mstatus, t0\ncsrw fcsr, zero\n"
#else
#define FPU_ON
#endif

/* Traps to mm_fault, the global pointer, the stack, and where there is one the FPU (mstatus.FS). Only hart 0 goes on. */
__attribute__((naked, section(".reset"), used)) void mm_reset(void) {
  __asm__ volatile(WITH_CSR("csrr a0, mhartid       \n"
                            "1: bnez a0, 1b         \n"
                            ".option push           \n"
                            ".option norelax        \n"
                            "la gp, __global_pointer$ \n"
                            ".option pop            \n"
                            "la sp, mm_stack_top    \n"
                            "andi sp, sp, -16       \n"
                            "la t0, mm_fault        \n"
                            "csrw mtvec, t0         \n"
                            FPU_ON "j mm_start"));
}

/* Makes room to report when the stack is used up. */
__attribute__((naked, aligned(4))) void mm_fault(void) {
  __asm__ volatile(
      "mv   a0, sp                \n"
      "mv   a1, ra                \n"
      "la   t0, mm_stack_bottom   \n"
      "addi t0, t0, 512           \n"
      "bgeu sp, t0, 1f            \n"
      "la   sp, mm_stack_top      \n"
      "andi sp, sp, -16           \n"
      "1: j mm_report_fault       \n");
}

#define READ_CSR(name, value) __asm__ volatile(WITH_CSR("csrr %0, " name) : "=r"(value))

static void field(const char* name, uintptr_t value) {
  mm_host_print(name);
  mm_print_hex((uint32_t)value);
}

__attribute__((used)) void mm_report_fault(uintptr_t stack, uintptr_t return_address) {
  uintptr_t cause, place, value;
  READ_CSR("mcause", cause);
  READ_CSR("mepc", place);
  READ_CSR("mtval", value);
  field("\n!fault mcause ", cause);
  field(" pc ", place);
  field(" lr ", return_address);
  field(" sp ", stack);
  field(" mtval ", value);
  mm_host_print("\n");
  mm_host_exit(MM_FAULT_STATUS);
}
