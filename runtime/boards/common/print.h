/* Text without printf, which would add more to an image than many a network.
 *
 *   mm_report("instructions", n);        prints "@instructions 123456", which the emulator runner collects */
#ifndef MM_PRINT_H
#define MM_PRINT_H

#include <stdint.h>

#include "semihosting.h"

/* `buffer` takes up to 20 digits and a NUL; returns the first character's place in it. */
char* mm_decimal(uint64_t value, char buffer[21]);

void mm_print_u64(uint64_t value);
void mm_print_i32(int32_t value);
void mm_print_hex(uint32_t value); /* "0x" and eight digits */

/* A named figure for the host: the line "@name value". The name has no space. */
void mm_report(const char* name, uint64_t value);

#endif
