#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const AvgPool2d& op, const Call& call) {
  const Shape &in = call.in_shapes[0], &out = call.out_shapes[0];
  float* to = call.out[0].data();
  for (int c = 0; c < out.channels(); ++c) {
    const float* plane = call.in[0].data() + std::int64_t{c} * in.height() * in.width();
    for (int y = 0; y < out.height(); ++y)
      for (int x = 0; x < out.width(); ++x) {
        const int y0 = y * op.stride.h - op.padding.top, x0 = x * op.stride.w - op.padding.left;
        double sum = 0;
        int count = 0;
        for (int i = std::max(y0, 0); i < std::min(y0 + op.kernel.h, in.height()); ++i)
          for (int j = std::max(x0, 0); j < std::min(x0 + op.kernel.w, in.width()); ++j, ++count) sum += plane[i * in.width() + j];
        *to++ = count > 0 ? static_cast<float>(sum / count) : 0.0f;
      }
  }
}

}  // namespace micromind::reference
