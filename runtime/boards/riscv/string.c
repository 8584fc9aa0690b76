/* A word at a time where both ends are aligned alike: kernels that only move bytes spend their time here. */
#include <stdint.h>
#include <string.h>

typedef uintptr_t __attribute__((may_alias)) word;
enum { WORD = sizeof(word) };

/* No loop below may become a call of the function that it is in. */
#define PLAIN __attribute__((optimize("no-tree-loop-distribute-patterns"), used))

PLAIN static void* copy_forwards(void* to, const void* from, size_t bytes) {
  unsigned char* out = to;
  const unsigned char* in = from;
  if ((((uintptr_t)out ^ (uintptr_t)in) & (WORD - 1)) == 0 && bytes >= WORD) {
    for (; ((uintptr_t)out & (WORD - 1)) != 0; --bytes) *out++ = *in++;
    for (; bytes >= 4 * WORD; bytes -= 4 * WORD, out += 4 * WORD, in += 4 * WORD) {
      const word a = ((const word*)(const void*)in)[0], b = ((const word*)(const void*)in)[1],
                 c = ((const word*)(const void*)in)[2], d = ((const word*)(const void*)in)[3];
      ((word*)(void*)out)[0] = a;
      ((word*)(void*)out)[1] = b;
      ((word*)(void*)out)[2] = c;
      ((word*)(void*)out)[3] = d;
    }
    for (; bytes >= WORD; bytes -= WORD, out += WORD, in += WORD)
      *(word*)(void*)out = *(const word*)(const void*)in;
  }
  for (; bytes != 0; --bytes) *out++ = *in++;
  return to;
}

PLAIN void* memcpy(void* restrict to, const void* restrict from, size_t bytes) {
  return copy_forwards(to, from, bytes);
}

PLAIN void* memmove(void* to, const void* from, size_t bytes) {
  unsigned char* out = to;
  const unsigned char* in = from;
  if ((uintptr_t)out - (uintptr_t)in >= bytes) return copy_forwards(to, from, bytes);
  while (bytes != 0) {
    --bytes;
    out[bytes] = in[bytes];
  }
  return to;
}

PLAIN void* memset(void* to, int value, size_t bytes) {
  unsigned char* out = to;
  if (bytes >= WORD) {
    word pattern = (unsigned char)value;
    for (unsigned shift = 8; shift < 8 * WORD; shift *= 2) pattern |= pattern << shift;
    for (; ((uintptr_t)out & (WORD - 1)) != 0; --bytes) *out++ = (unsigned char)value;
    for (; bytes >= WORD; bytes -= WORD, out += WORD) *(word*)(void*)out = pattern;
  }
  for (; bytes != 0; --bytes) *out++ = (unsigned char)value;
  return to;
}

PLAIN int memcmp(const void* a, const void* b, size_t bytes) {
  const unsigned char *x = a, *y = b;
  for (; bytes != 0; --bytes, ++x, ++y)
    if (*x != *y) return *x < *y ? -1 : 1;
  return 0;
}

PLAIN size_t strlen(const char* text) {
  size_t n = 0;
  while (text[n] != '\0') ++n;
  return n;
}
