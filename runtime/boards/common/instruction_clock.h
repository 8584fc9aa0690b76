/* Counts executed instructions on an emulated core, to about one, the same in every run.
 *
 *   const uint64_t start = mm_clock_now();
 *   work();
 *   const uint64_t n = mm_clock_since(start);      instructions of work(), its call included
 *
 * The emulator advances its time by a fixed step an instruction (machine.h, which is generated for the
 * target, holds the ratio to a tick), so elapsed ticks are instructions. On a Cortex-M ticks are SysTick's: 24
 * bits down at the processor clock, whose handler counts the wraps and adds about ten instructions to every ten
 * million; on silicon the ratio is 1 and the same calls give clock cycles. On RISC-V they are minstret's, on
 * silicon instructions as well. */
#ifndef MM_INSTRUCTION_CLOCK_H
#define MM_INSTRUCTION_CLOCK_H

#include <stdint.h>

void mm_clock_start(void);               /* done by the start-up code; again, it starts from zero */
uint64_t mm_clock_now(void);             /* ticks since the start */
uint64_t mm_clock_since(uint64_t ticks); /* instructions since mm_clock_now() returned `ticks` */

#endif
