/* A megabyte of constants and a megabyte of variables. */
#include "board/print.h"

static const uint8_t constants[1 << 20] = {1};
static uint8_t variables[1 << 20];

int main(void) {
  volatile uint32_t i = 0;
  variables[i] = constants[i];
  return variables[i + 1];
}
