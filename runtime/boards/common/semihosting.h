/* The way out of an emulated (or debugged) core: text, files and the exit status, as calls to the host.
 *
 * Arm "Semihosting for AArch32 and AArch64", release 2.0, and its RISC-V counterpart; processor.h has the
 * instruction that makes the call. On a board without a debugger that faults, so nothing that ships calls this. File names are relative to the folder that the emulator was started in. */
#ifndef MM_SEMIHOSTING_H
#define MM_SEMIHOSTING_H

#include <stddef.h>

/* Writes a text that ends in NUL to the host's console. */
void mm_host_print(const char* text);

/* Reads at most `capacity` bytes of the file into `buffer`.
 * Returns the bytes read (less than `capacity` when the file is shorter), or -1 when it cannot be read. */
long mm_host_read_file(const char* name, void* buffer, size_t capacity);

/* Makes or replaces the file. Returns 0, or -1 when not all bytes could be written. */
int mm_host_write_file(const char* name, const void* data, size_t bytes);

/* Pieces, for files that are read or written bit by bit: a handle ≥ 0, or -1. Close every handle: the host
 * may hold written bytes back until then. */
typedef enum { MM_HOST_READ = 1, MM_HOST_WRITE = 5, MM_HOST_APPEND = 9 } mm_host_mode; /* "rb", "wb", "ab" */
int mm_host_open(const char* name, mm_host_mode mode);
long mm_host_read(int handle, void* buffer, size_t bytes);     /* bytes read, 0 at the end, -1 on failure */
int mm_host_write(int handle, const void* data, size_t bytes); /* 0, or -1 */
long mm_host_length(int handle);                               /* bytes of the file, or -1 */
int mm_host_seek(int handle, size_t offset);                   /* from the start of the file: 0, or -1 */
int mm_host_close(int handle);

/* Ends the program; the low byte of `status` becomes the emulator's exit status. Does not return. */
void mm_host_exit(int status);

#endif
