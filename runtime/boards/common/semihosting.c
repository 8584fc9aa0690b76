#include "semihosting.h"

#include <stdint.h>

#include "processor.h"

enum {
  SYS_OPEN = 0x01,
  SYS_CLOSE = 0x02,
  SYS_WRITE0 = 0x04,
  SYS_WRITE = 0x05,
  SYS_READ = 0x06,
  SYS_SEEK = 0x0A,
  SYS_FLEN = 0x0C,
  SYS_EXIT_EXTENDED = 0x20,
  STOPPED_APPLICATION_EXIT = 0x20026
};

static uintptr_t text_length(const char* text) {
  uintptr_t n = 0;
  while (text[n] != '\0') ++n;
  return n;
}

void mm_host_print(const char* text) {
  (void)mm_host_call(SYS_WRITE0, (uintptr_t)text);
}

int mm_host_open(const char* name, mm_host_mode mode) {
  const uintptr_t block[3] = {(uintptr_t)name, (uintptr_t)mode, text_length(name)};
  return (int)mm_host_call(SYS_OPEN, (uintptr_t)block);
}

long mm_host_read(int handle, void* buffer, size_t bytes) {
  const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)buffer, bytes};
  const intptr_t left = mm_host_call(SYS_READ, (uintptr_t)block); /* bytes that were not read */
  return left < 0 || (size_t)left > bytes ? -1L : (long)(bytes - (size_t)left);
}

int mm_host_write(int handle, const void* data, size_t bytes) {
  const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)data, bytes};
  return mm_host_call(SYS_WRITE, (uintptr_t)block) == 0 ? 0 : -1; /* bytes that were not written */
}

long mm_host_length(int handle) {
  const uintptr_t block[1] = {(uintptr_t)handle};
  return (long)mm_host_call(SYS_FLEN, (uintptr_t)block);
}

int mm_host_seek(int handle, size_t offset) {
  const uintptr_t block[2] = {(uintptr_t)handle, offset};
  return mm_host_call(SYS_SEEK, (uintptr_t)block) == 0 ? 0 : -1;
}

int mm_host_close(int handle) {
  const uintptr_t block[1] = {(uintptr_t)handle};
  return (int)mm_host_call(SYS_CLOSE, (uintptr_t)block);
}

long mm_host_read_file(const char* name, void* buffer, size_t capacity) {
  const int handle = mm_host_open(name, MM_HOST_READ);
  if (handle < 0) return -1L;
  size_t used = 0;
  while (used < capacity) {
    const long n = mm_host_read(handle, (unsigned char*)buffer + used, capacity - used);
    if (n < 0) {
      (void)mm_host_close(handle);
      return -1L;
    }
    if (n == 0) break;
    used += (size_t)n;
  }
  return mm_host_close(handle) == 0 ? (long)used : -1L;
}

int mm_host_write_file(const char* name, const void* data, size_t bytes) {
  const int handle = mm_host_open(name, MM_HOST_WRITE);
  if (handle < 0) return -1;
  const int written = mm_host_write(handle, data, bytes);
  const int closed = mm_host_close(handle);
  return written == 0 && closed == 0 ? 0 : -1;
}

void mm_host_exit(int status) {
  const uintptr_t block[2] = {STOPPED_APPLICATION_EXIT, (uintptr_t)status};
  mm_host_print("!exit\n"); /* tells the runner that the status is ours and not the emulator's */
  (void)mm_host_call(SYS_EXIT_EXTENDED, (uintptr_t)block);
  for (;;) {
  }
}
