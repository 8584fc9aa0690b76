/* Reads inputs.bin, complements it and writes outputs.bin, in one piece and in many. */
#include "board/print.h"

static uint8_t data[100000];

static int write_in_pieces(const char* name, size_t bytes) {
  const int handle = mm_host_open(name, MM_HOST_WRITE);
  if (handle < 0) return -1;
  for (size_t at = 0; at < bytes; at += 999)
    if (mm_host_write(handle, data + at, bytes - at < 999 ? bytes - at : 999) != 0) return -1;
  return mm_host_close(handle);
}

int main(void) {
  if (mm_host_read_file("missing.bin", data, sizeof data) != -1) return 1;
  const int handle = mm_host_open("inputs.bin", MM_HOST_READ);
  mm_report("length", (uint64_t)mm_host_length(handle));
  if (mm_host_close(handle) != 0) return 2;
  const long n = mm_host_read_file("inputs.bin", data, sizeof data);
  if (n < 0) return 3;
  mm_report("read", (uint64_t)n);
  for (long i = 0; i < n; ++i) data[i] = (uint8_t)~data[i];
  if (mm_host_write_file("outputs.bin", data, (size_t)n) != 0) return 4;
  if (write_in_pieces("pieces.bin", (size_t)n) != 0) return 5;
  if (mm_host_write_file("no_such_folder/x.bin", data, 1) != -1) return 6;
  return 0;
}
