/* Validation over a serial line: the board's side of the protocol that micromind speaks (`micromind validate … --serial
 * /dev/ttyACM0`; docs/serial.md of micromind describes every frame). The host writes inputs, the board runs the model,
 * the host reads outputs, times and memory marks.
 *
 *   static model_arena arena;
 *   static const model_serial_port port = {uart_read, uart_write, 0, 0, 0, 0};
 *   model_serial_serve(&port, &arena);       // main.c is such a program: two functions are to be filled in
 *
 * No heap; beside the arena one buffer of about a kilobyte. Compile model.c and model_serial.c with -DMODEL_TRACE and the
 * host compares every layer too. */
#ifndef MODEL_SERIAL_H
#define MODEL_SERIAL_H

#include <stddef.h>
#include <stdint.h>

#include "../model.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef MODEL_SERIAL_PAYLOAD
#define MODEL_SERIAL_PAYLOAD 1024u /* most bytes in a frame, 64 to 65535; the host asks for it */
#endif

typedef struct {
  /* The next byte, 0 to 255, or -1 when none has come yet. No byte may get lost while a frame of MODEL_SERIAL_PAYLOAD
   * and 10 bytes comes in: a receive interrupt with a queue, or polling that is quick enough. */
  int (*read)(void);
  /* Sends the bytes; may return before they are sent, not before they may be overwritten. */
  void (*write)(const uint8_t* bytes, size_t count);

  /* All that follows may be 0. */
  uint32_t (*ticks)(void);      /* a counter that wraps at 2^32 (DWT->CYCCNT, micros()) … */
  uint32_t ticks_hz;            /* … and its rate; 0: unknown */
  void (*stack_paint)(void);    /* fills the unused stack with a pattern … */
  uint32_t (*stack_used)(void); /* … and tells how many bytes below the caller of stack_paint() were used since */
} model_serial_port;

/* Answers requests until the host says that it is done. */
void model_serial_serve(const model_serial_port* port, model_arena* arena);

#ifdef __cplusplus
}
#endif

#endif
