#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const Upsample& op, const Call& call) {
  const Shape &in = call.in_shapes[0], &out = call.out_shapes[0];
  float* to = call.out[0].data();
  for (int c = 0; c < out.channels(); ++c)
    for (int y = 0; y < out.height(); ++y) {
      const float* row = call.in[0].data() + (std::int64_t{c} * in.height() + y / op.scale.h) * in.width();
      for (int x = 0; x < out.width(); ++x) *to++ = row[x / op.scale.w];
    }
}

}  // namespace micromind::reference
