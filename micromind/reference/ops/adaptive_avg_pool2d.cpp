#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const AdaptiveAvgPool2d&, const Call& call) {
  const Shape &in = call.in_shapes[0], &out = call.out_shapes[0];
  // Bin i of n over an extent: [⌊i·extent/n⌋, ⌈(i+1)·extent/n⌉)
  const auto begin = [](std::int64_t i, int extent, int n) { return i * extent / n; };
  const auto end = [](std::int64_t i, int extent, int n) { return ((i + 1) * extent + n - 1) / n; };
  float* to = call.out[0].data();
  for (int c = 0; c < out.channels(); ++c) {
    const float* plane = call.in[0].data() + std::int64_t{c} * in.height() * in.width();
    for (int y = 0; y < out.height(); ++y)
      for (int x = 0; x < out.width(); ++x) {
        const std::int64_t y0 = begin(y, in.height(), out.height()), y1 = end(y, in.height(), out.height());
        const std::int64_t x0 = begin(x, in.width(), out.width()), x1 = end(x, in.width(), out.width());
        double sum = 0;
        for (std::int64_t i = y0; i < y1; ++i)
          for (std::int64_t j = x0; j < x1; ++j) sum += plane[i * in.width() + j];
        *to++ = static_cast<float>(sum / static_cast<double>((y1 - y0) * (x1 - x0)));
      }
  }
}

}  // namespace micromind::reference
