#include "micromind/reference/ops.h"

namespace micromind::reference {

// Extents of one are broadcast: their stride is 0.
void run(const Multiply&, const Call& call) {
  const Shape& out = call.out_shapes[0];
  std::int64_t stride[2][4] = {};
  for (int k = 0; k < 2; ++k) {
    const Shape& s = call.in_shapes[static_cast<std::size_t>(k)];
    std::int64_t step = 1;
    for (int d = s.rank() - 1; d >= 0; --d) {
      stride[k][d + 4 - s.rank()] = s[d] == 1 ? 0 : step;
      step *= s[d];
    }
  }
  int extent[4] = {1, 1, 1, 1};
  for (int d = 0; d < out.rank(); ++d) extent[d + 4 - out.rank()] = out[d];
  float* to = call.out[0].data();
  for (int a = 0; a < extent[0]; ++a)
    for (int b = 0; b < extent[1]; ++b)
      for (int c = 0; c < extent[2]; ++c) {
        const float* x = call.in[0].data() + a * stride[0][0] + b * stride[0][1] + c * stride[0][2];
        const float* y = call.in[1].data() + a * stride[1][0] + b * stride[1][1] + c * stride[1][2];
        for (int d = 0; d < extent[3]; ++d) *to++ = x[d * stride[0][3]] * y[d * stride[1][3]];
      }
}

}  // namespace micromind::reference
