// The kernels for AVX2. What the standard library defines comes before the pragma, so that none of it is compiled for a
// processor that may not be there.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma GCC push_options
#pragma GCC target("avx2")
#include "micromind/quantize/kernel_table.h"

namespace micromind {

extern const KernelTable kAvx2Kernels;
const KernelTable kAvx2Kernels = MICROMIND_KERNEL_TABLE("AVX2");

}  // namespace micromind
#pragma GCC pop_options
#endif
