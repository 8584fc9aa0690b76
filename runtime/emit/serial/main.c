/* A firmware that lets micromind validate the model on this board. Fill in the two functions (and the board's own
 * start-up and clock setting), build it with model.c and model_serial.c, flash it, and on the computer:
 *
 *   micromind validate model.tflite --target NAME --serial /dev/ttyACM0 --baud 115200
 */
#include "model_serial.h"

/* The next received byte, or -1 when none has come yet.
 *   STM32:   return (USART3->ISR & USART_ISR_RXNE_RXFNE) ? USART3->RDR & 0xFF : -1;
 *   Arduino: return Serial.read();
 *   Pico:    return getchar_timeout_us(0) of pico_stdlib, negative when there is none */
static int uart_read(void) {
#error "fill in: the next byte of the serial port, or -1"
  return -1;
}

/* Sends all of the bytes.
 *   STM32:   for each: while (!(USART3->ISR & USART_ISR_TXE_TXFNF)) {} USART3->TDR = byte;
 *   Arduino: Serial.write(bytes, count);
 *   Pico:    for each: putchar_raw(byte); */
static void uart_write(const uint8_t* bytes, size_t count) {
#error "fill in: send the bytes over the serial port"
  (void)bytes;
  (void)count;
}

int main(void) {
  static model_arena arena;
  /* Behind the two: a cycle counter with its rate, and painting of the stack; 0 where there is none. */
  static const model_serial_port port = {uart_read, uart_write, 0, 0, 0, 0};
  for (;;) model_serial_serve(&port, &arena);
}
