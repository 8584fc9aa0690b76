// The kernels with what every processor of this kind has.
#include "micromind/quantize/kernel_table.h"

namespace micromind {

extern const KernelTable kPlainKernels;
const KernelTable kPlainKernels = MICROMIND_KERNEL_TABLE("plain");

}  // namespace micromind
