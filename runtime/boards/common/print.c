#include "print.h"

char* mm_decimal(uint64_t value, char buffer[21]) {
  /* Long division by ten over 16-bit digits: a 64-bit division would pull in the compiler's routine. */
  uint32_t digits[4];
  for (int i = 0; i < 4; ++i) digits[i] = (uint32_t)(value >> (48 - 16 * i)) & 0xFFFFu;
  char* place = buffer + 20;
  *place = '\0';
  uint32_t rest;
  do {
    uint32_t remainder = 0;
    rest = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t part = (remainder << 16) | digits[i];
      digits[i] = part / 10u;
      remainder = part % 10u;
      rest |= digits[i];
    }
    *--place = (char)('0' + (char)remainder);
  } while (rest != 0);
  return place;
}

void mm_print_u64(uint64_t value) {
  char buffer[21];
  mm_host_print(mm_decimal(value, buffer));
}

void mm_print_i32(int32_t value) {
  if (value < 0) mm_host_print("-");
  mm_print_u64(value < 0 ? (uint64_t)(-(int64_t)value) : (uint64_t)value);
}

void mm_print_hex(uint32_t value) {
  char text[11] = "0x";
  for (int i = 0; i < 8; ++i) text[2 + i] = "0123456789abcdef"[(value >> (28 - 4 * i)) & 0xFu];
  text[10] = '\0';
  mm_host_print(text);
}

void mm_report(const char* name, uint64_t value) {
  mm_host_print("@");
  mm_host_print(name);
  mm_host_print(" ");
  mm_print_u64(value);
  mm_host_print("\n");
}
