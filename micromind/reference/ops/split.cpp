#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const Split& op, const Call& call) {
  const AxisView view(call.in_shapes[0], op.axis);
  const float* from = call.in[0].data();
  for (std::int64_t o = 0; o < view.outer; ++o)
    for (std::size_t k = 0; k < call.out.size(); ++k) {
      const std::int64_t run = op.sizes[k] * view.inner;
      std::copy_n(from, run, call.out[k].data() + o * run);
      from += run;
    }
}

}  // namespace micromind::reference
