#include "profile.h"

__attribute__((noinline)) void mm_profile_start(void) {
  __asm__ volatile("" ::: "memory");
}

/* The bodies differ, so that no compiler makes one function of both. */
__attribute__((noinline)) void mm_profile_stop(void) {
  __asm__ volatile("nop" ::: "memory");
}
