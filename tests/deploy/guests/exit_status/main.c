#include "board/print.h"

int main(void) {
  mm_print_i32(-2147483647 - 1);
  mm_host_print(" ");
  mm_print_u64(18446744073709551615u);
  mm_host_print(" ");
  mm_print_hex(0xDEAD01u);
  mm_host_print("\n@ 3\n@broken 4x\n@twice 1\n@twice 2\n");
  mm_report("zero", 0);
  mm_report("wide", 1234567890123456789u);
  return 42;
}
