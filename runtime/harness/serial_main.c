/* The serial program on an emulated machine: what serial/main.c of an emitted folder is on a board. Its UART is CMSDK's
 * on Arm's MPS2 boards ("Cortex-M System Design Kit", DDI 0479) and a 16550 on QEMU's RISC-V board. */
#include "board/instruction_clock.h"
#include "board/processor.h"
#include "board/stack.h"
#include "ports.h"
#include "serial/model_serial.h"

#if defined(__riscv)
#define UART(register) (*(volatile uint8_t*)(UART_BASE + (register)))
enum { DATA = 0, LINE_STATUS = 5, RECEIVED = 1, CAN_SEND = 0x20 };
static void uart_start(void) {}
static int uart_read(void) {
  return (UART(LINE_STATUS) & RECEIVED) != 0 ? UART(DATA) : -1;
}
static void uart_send(uint8_t byte) {
  while ((UART(LINE_STATUS) & CAN_SEND) == 0) {
  }
  UART(DATA) = byte;
}
#else
#define UART(register) (*(volatile uint32_t*)(UART_BASE + (register)))
enum { DATA = 0, STATE = 4, CONTROL = 8, BAUD_DIVISOR = 16, SEND_FULL = 1, RECEIVED = 2, ENABLE_BOTH = 3 };
static void uart_start(void) {
  UART(BAUD_DIVISOR) = 16;
  UART(CONTROL) = ENABLE_BOTH;
}
static int uart_read(void) {
  return (UART(STATE) & RECEIVED) != 0 ? (int)(UART(DATA) & 0xFFu) : -1;
}
static void uart_send(uint8_t byte) {
  while ((UART(STATE) & SEND_FULL) != 0) {
  }
  UART(DATA) = byte;
}
#endif

static void uart_write(const uint8_t* bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) uart_send(bytes[i]);
}

static uint64_t start;
static uint32_t instructions(void) {
  return (uint32_t)mm_clock_since(start);
}

static size_t depth;
static void stack_paint(void) {
  mm_interrupts_off();
  depth = mm_stack_depth();
  mm_stack_paint();
}
static uint32_t stack_used(void) {
  mm_interrupts_on();
  return (uint32_t)(mm_stack_used() - depth);
}

ARENA_PLACE static model_arena arena;

int main(void) {
  static const model_serial_port port = {uart_read, uart_write, instructions, 0, stack_paint, stack_used};
  uart_start();
  start = mm_clock_now();
  model_serial_serve(&port, &arena);
  return 0;
}
