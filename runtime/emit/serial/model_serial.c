/* See model_serial.h. A frame is
 *
 *   A6 6D | request | sequence | payload bytes (2) | payload … | CRC-32 (4) of all but the first two bytes
 *
 * with numbers of several bytes in little-endian order. A reply has the request's number with its highest bit set, and
 * its sequence. */
#include "model_serial.h"

#include <string.h>

#include "model_ports.h"

enum { MAGIC_0 = 0xA6, MAGIC_1 = 0x6D, HEAD = 6, TAIL = 4, VERSION = 1 };
enum { HELLO = 1, WRITE, RUN, READ, TRACE, LAYER, END, REPLY = 0x80, ERROR = 0xFF };
enum { BAD_FRAME = 1, UNKNOWN, BAD_LENGTH, OUT_OF_RANGE, NOT_READY, REFUSED, NO_TRACE };
enum { HAS_TRACE = 1, HAS_TICKS = 2, HAS_STACK = 4, PAINT = 1 };
#define NOT_MEASURED UINT32_C(0xFFFFFFFF)

static struct {
  const model_serial_port* port;
  uint8_t* arena;
  uint32_t filled; /* input bytes written since the last run */
  int has_outputs;
  uint8_t sequence;
  uint32_t event, first, count; /* of a trace */
  int tracing;
  uint8_t frame[HEAD + MODEL_SERIAL_PAYLOAD + TAIL];
} state;

static uint32_t get32(const uint8_t* bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put32(uint8_t* bytes, uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[i] = (uint8_t)(value >> (8 * i));
}

/* CRC-32 of IEEE 802.3, bit by bit. */
static uint32_t crc32(const uint8_t* bytes, size_t count) {
  uint32_t crc = UINT32_C(0xFFFFFFFF);
  for (size_t i = 0; i < count; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0u - (crc & 1u)));
  }
  return ~crc;
}

static uint8_t* payload(void) {
  return state.frame + HEAD;
}

static void send(uint8_t type, uint32_t count) {
  uint8_t* const f = state.frame;
  f[0] = MAGIC_0;
  f[1] = MAGIC_1;
  f[2] = type;
  f[3] = state.sequence;
  f[4] = (uint8_t)count;
  f[5] = (uint8_t)(count >> 8);
  put32(f + HEAD + count, crc32(f + 2, HEAD - 2 + count));
  state.port->write(f, HEAD + count + TAIL);
}

static void send_error(uint8_t request, uint8_t code, uint8_t detail) {
  payload()[0] = code;
  payload()[1] = request;
  payload()[2] = detail;
  send(ERROR, 3);
}

static uint8_t next(void) {
  int byte;
  do byte = state.port->read();
  while (byte < 0);
  return (uint8_t)byte;
}

/* Waits for a whole frame. Returns its payload's size; damaged ones are answered and passed over. */
static uint32_t receive(void) {
  for (;;) {
    while (next() != MAGIC_0) {
    }
    uint8_t byte = next();
    while (byte == MAGIC_0) byte = next();
    if (byte != MAGIC_1) continue;
    for (int i = 2; i < HEAD; ++i) state.frame[i] = next();
    const uint32_t count = (uint32_t)state.frame[4] | (uint32_t)state.frame[5] << 8;
    state.sequence = state.frame[3];
    if (count > MODEL_SERIAL_PAYLOAD) {
      send_error(0, BAD_FRAME, 0);
      continue;
    }
    for (uint32_t i = 0; i < count + TAIL; ++i) state.frame[HEAD + i] = next();
    if (crc32(state.frame + 2, HEAD - 2 + count) == get32(state.frame + HEAD + count)) return count;
    send_error(0, BAD_FRAME, 0);
  }
}

typedef enum { TO_ARENA, FROM_ARENA } copy_kind;

/* Copies between the frame and inputs or outputs, which follow each other without gaps in the protocol's numbering. */
static void copy(const model_place* places, int places_count, uint32_t offset, uint8_t* bytes, uint32_t count, copy_kind kind) {
  for (int k = 0; k < places_count && count > 0; ++k) {
    if (offset >= places[k].bytes) {
      offset -= places[k].bytes;
      continue;
    }
    const uint32_t part = places[k].bytes - offset < count ? places[k].bytes - offset : count;
    uint8_t* const in_arena = state.arena + places[k].offset + offset;
    if (kind == TO_ARENA) memcpy(in_arena, bytes, part);
    else memcpy(bytes, in_arena, part);
    bytes += part;
    count -= part;
    offset = 0;
  }
}

static void hello(void) {
  uint8_t* const p = payload();
  const model_serial_port* const port = state.port;
  uint32_t name = 0;
  memset(p, 0, 40);
  p[0] = VERSION;
#ifdef MODEL_TRACE
  p[1] = HAS_TRACE;
#endif
  if (port->ticks) p[1] = (uint8_t)(p[1] | HAS_TICKS);
  if (port->stack_paint && port->stack_used) p[1] = (uint8_t)(p[1] | HAS_STACK);
  p[2] = (uint8_t)MODEL_SERIAL_PAYLOAD;
  p[3] = (uint8_t)(MODEL_SERIAL_PAYLOAD >> 8);
  put32(p + 4, MODEL_HASH_LOW);
  put32(p + 8, MODEL_HASH_HIGH);
  put32(p + 12, MODEL_INPUTS_BYTES);
  put32(p + 16, MODEL_OUTPUTS_BYTES);
  put32(p + 20, MODEL_LAYER_OUTPUTS);
  put32(p + 24, MODEL_ARENA_BYTES);
  put32(p + 28, port->ticks_hz);
  for (; name < sizeof MODEL_NAME - 1 && 32 + name < 64; ++name) p[32 + name] = (uint8_t)MODEL_NAME[name];
  send(HELLO | REPLY, 32 + name);
}

static void write_input(uint32_t count) {
  if (count < 4) {
    send_error(WRITE, BAD_LENGTH, 0);
    return;
  }
  const uint32_t offset = get32(payload()), bytes = count - 4;
  if (offset > MODEL_INPUTS_BYTES || bytes > MODEL_INPUTS_BYTES - offset) {
    send_error(WRITE, OUT_OF_RANGE, 0);
    return;
  }
  if (offset == 0) state.filled = 0;
  if (offset > state.filled) { /* a piece before this one is missing */
    send_error(WRITE, NOT_READY, 0);
    return;
  }
  state.has_outputs = 0;
  copy(model_input_places, MODEL_INPUT_COUNT, offset, payload() + 4, bytes, TO_ARENA);
  if (offset + bytes > state.filled) state.filled = offset + bytes;
  send(WRITE | REPLY, 0);
}

static int is_input(uint32_t at) {
  for (int k = 0; k < MODEL_INPUT_COUNT; ++k)
    if (at >= model_input_places[k].offset && at - model_input_places[k].offset < model_input_places[k].bytes) return 1;
  return 0;
}

/* Inputs lie in the arena and count as touched. */
static uint32_t arena_used(uint8_t pattern) {
  uint32_t end = MODEL_ARENA_BYTES;
  while (end > 0 && state.arena[end - 1] == pattern && !is_input(end - 1)) --end;
  return end;
}

static model_status run_model(uint32_t result[3], int paint, uint8_t pattern) {
  const model_serial_port* const port = state.port;
  result[1] = result[2] = NOT_MEASURED;
  if (paint)
    for (uint32_t i = 0; i < MODEL_ARENA_BYTES; ++i)
      if (!is_input(i)) state.arena[i] = pattern;
  const int stack = paint && port->stack_paint && port->stack_used;
  state.filled = 0; /* the layers reuse the inputs' memory */
  if (stack) port->stack_paint();
  const uint32_t start = port->ticks ? port->ticks() : 0;
  const model_status status = model_run(state.arena, MODEL_ARENA_BYTES);
  result[0] = port->ticks ? port->ticks() - start : 0;
  if (stack) result[1] = port->stack_used();
  if (paint) result[2] = arena_used(pattern);
  state.has_outputs = status == MODEL_OK;
  return status;
}

static void run(uint32_t count) {
  uint32_t result[3];
  if (count != 2) {
    send_error(RUN, BAD_LENGTH, 0);
    return;
  }
  if (state.filled != MODEL_INPUTS_BYTES) {
    send_error(RUN, NOT_READY, 0);
    return;
  }
  const model_status status = run_model(result, payload()[0] & PAINT, payload()[1]);
  if (status != MODEL_OK) {
    send_error(RUN, REFUSED, (uint8_t)status);
    return;
  }
  for (int i = 0; i < 3; ++i) put32(payload() + 4 * i, result[i]);
  send(RUN | REPLY, 12);
}

static void read_output(uint32_t count) {
  if (count != 6) {
    send_error(READ, BAD_LENGTH, 0);
    return;
  }
  const uint32_t offset = get32(payload()), bytes = (uint32_t)payload()[4] | (uint32_t)payload()[5] << 8;
  if (offset > MODEL_OUTPUTS_BYTES || bytes > MODEL_OUTPUTS_BYTES - offset || bytes > MODEL_SERIAL_PAYLOAD) {
    send_error(READ, OUT_OF_RANGE, 0);
    return;
  }
  if (!state.has_outputs) {
    send_error(READ, NOT_READY, 0);
    return;
  }
  copy(model_output_places, MODEL_OUTPUT_COUNT, offset, payload(), bytes, FROM_ARENA);
  send(READ | REPLY, bytes);
}

#ifdef MODEL_TRACE
/* Sends a layer's output while it is there, in pieces. */
void model_trace(int layer, const int8_t* output, size_t bytes) {
  const uint32_t event = state.event++;
  (void)layer;
  if (!state.tracing || event < state.first || event - state.first >= state.count) return;
  for (size_t at = 0; at < bytes;) {
    const size_t part = bytes - at < MODEL_SERIAL_PAYLOAD - 8 ? bytes - at : MODEL_SERIAL_PAYLOAD - 8;
    put32(payload(), event);
    put32(payload() + 4, (uint32_t)at);
    memcpy(payload() + 8, output + at, part);
    send(LAYER | REPLY, 8 + (uint32_t)part);
    at += part;
  }
}

static void trace(uint32_t count) {
  uint32_t result[3];
  if (count != 8) {
    send_error(TRACE, BAD_LENGTH, 0);
    return;
  }
  if (state.filled != MODEL_INPUTS_BYTES) {
    send_error(TRACE, NOT_READY, 0);
    return;
  }
  state.first = get32(payload());
  state.count = get32(payload() + 4);
  state.event = 0;
  state.tracing = 1;
  const model_status status = run_model(result, 0, 0);
  state.tracing = 0;
  if (status != MODEL_OK) {
    send_error(TRACE, REFUSED, (uint8_t)status);
    return;
  }
  put32(payload(), state.event);
  send(TRACE | REPLY, 4);
}
#else
static void trace(uint32_t count) {
  (void)count;
  send_error(TRACE, NO_TRACE, 0);
}
#endif

void model_serial_serve(const model_serial_port* port, model_arena* arena) {
  memset(&state, 0, sizeof state);
  state.port = port;
  state.arena = arena->bytes;
  for (;;) {
    const uint32_t count = receive();
    const uint8_t request = state.frame[2];
    switch (request) {
      case HELLO: hello(); break;
      case WRITE: write_input(count); break;
      case RUN: run(count); break;
      case READ: read_output(count); break;
      case TRACE: trace(count); break;
      case END: send(END | REPLY, 0); return;
      default: send_error(request, UNKNOWN, 0); break;
    }
  }
}
