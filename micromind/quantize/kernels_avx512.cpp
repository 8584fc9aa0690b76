// The kernels for AVX-512. What the standard library defines comes before the pragma, so that none of it is compiled for a
// processor that may not be there.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#include "micromind/quantize/kernel_table.h"

namespace micromind {

extern const KernelTable kAvx512Kernels;
const KernelTable kAvx512Kernels = MICROMIND_KERNEL_TABLE("AVX-512");

}  // namespace micromind
#pragma GCC pop_options
#endif
