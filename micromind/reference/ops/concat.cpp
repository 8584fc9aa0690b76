#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const Concat& op, const Call& call) {
  const AxisView view(call.out_shapes[0], op.axis);
  float* to = call.out[0].data();
  for (std::int64_t o = 0; o < view.outer; ++o)
    for (std::size_t k = 0; k < call.in.size(); ++k) {
      const std::int64_t run = call.in_shapes[k][op.axis] * view.inner;
      to = std::copy_n(call.in[k].data() + o * run, run, to);
    }
}

}  // namespace micromind::reference
