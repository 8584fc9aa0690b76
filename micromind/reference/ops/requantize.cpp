#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const Requantize&, const Call& call) { copy(call); }  // the identity on floats

}  // namespace micromind::reference
