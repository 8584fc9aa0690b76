#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const TakeRows& op, const Call& call) {
  const AxisView view(call.in_shapes[0], 1);
  const std::int64_t rows = call.in_shapes[0][1];
  for (std::int64_t c = 0; c < view.outer; ++c)
    std::copy_n(call.in[0].data() + (c * rows + op.first) * view.inner, op.count * view.inner, call.out[0].data() + c * op.count * view.inner);
}

}  // namespace micromind::reference
