/* Debian's compiler for bare RISC-V comes without a C library; its own definitions are all that is needed. */
#ifndef MM_STDINT_H
#define MM_STDINT_H
#include <stdint-gcc.h>
#endif
