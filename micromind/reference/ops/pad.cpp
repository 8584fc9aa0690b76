#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const Pad& op, const Call& call) {
  const Shape &in = call.in_shapes[0], &out = call.out_shapes[0];
  for (int c = 0; c < in.channels(); ++c)
    for (int y = 0; y < in.height(); ++y)
      std::copy_n(call.in[0].data() + (std::int64_t{c} * in.height() + y) * in.width(), in.width(),
                  call.out[0].data() + (std::int64_t{c} * out.height() + y + op.padding.top) * out.width() + op.padding.left);
}

}  // namespace micromind::reference
