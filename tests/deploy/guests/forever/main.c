#include "board/print.h"

int main(void) {
  mm_host_print("waiting for nothing\n");
  for (;;) {
    __asm__ volatile("nop");
  }
}
