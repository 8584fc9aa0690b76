// One inference after another, with its time. Fill the input from your sensor before each.
#include <@model@.h>

static @model@_arena arena;

void setup() {
  Serial.begin(115200);
}

void loop() {
  int8_t* in = @model@_input_@input@(arena.bytes);
  for (unsigned long i = 0; i < @MODEL@_INPUT_@INPUT@_BYTES; ++i)  // real = scale * (value - zero point)
    in[i] = @MODEL@_INPUT_@INPUT@_ZERO_POINT;

  const unsigned long start = micros();
  const @model@_status status = @model@_run(arena.bytes, sizeof arena.bytes);
  const unsigned long microseconds = micros() - start;
  if (status != @MODEL@_OK) {
    Serial.println("@model@_run() refused its arena");
    return;
  }

  const int8_t* out = @model@_output_@output@(arena.bytes);
  for (unsigned long i = 0; i < @MODEL@_OUTPUT_@OUTPUT@_BYTES && i < 16; ++i) {
    Serial.print(out[i]);
    Serial.print(' ');
  }
  Serial.print(microseconds);
  Serial.println(" us");
  delay(1000);
}
