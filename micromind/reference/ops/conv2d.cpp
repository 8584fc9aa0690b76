#include "micromind/reference/ops.h"

namespace micromind::reference {

namespace {

// out_plane += w · in_plane shifted by the kernel position (ky, kx): rows are contiguous.
void add_shifted(const Conv2d& op, const Shape& in, const Shape& out, int ky, int kx, float w, const float* in_plane, float* out_plane) {
  const int offset_x = kx * op.dilation.w - op.padding.left;
  const int step = op.stride.w;
  // The outputs whose input column lies inside the image: 0 ≤ x·step + offset < width.
  const int first = offset_x >= 0 ? 0 : (-offset_x + step - 1) / step;
  const int room = in.width() - 1 - offset_x;
  const int last = room < 0 ? 0 : std::min(out.width(), room / step + 1);
  for (int y = 0; y < out.height(); ++y) {
    const int in_y = y * op.stride.h + ky * op.dilation.h - op.padding.top;
    if (in_y < 0 || in_y >= in.height()) continue;
    const float* from = in_plane + static_cast<std::int64_t>(in_y) * in.width();
    float* to = out_plane + static_cast<std::int64_t>(y) * out.width();
    if (step == 1)
      for (int x = first; x < last; ++x) to[x] += w * from[x + offset_x];
    else
      for (int x = first; x < last; ++x) to[x] += w * from[x * step + offset_x];
  }
}

}  // namespace

// out[o] = bias[o] + Σ over i, ky, kx of weight[o][i][ky][kx] · in[i] shifted.
void run(const Conv2d& op, const Call& call) {
  const Shape &in = call.in_shapes[0], &out = call.out_shapes[0];
  const std::int64_t in_plane = std::int64_t{in.height()} * in.width(), out_plane = std::int64_t{out.height()} * out.width();
  const int in_per_group = in.channels() / op.groups, out_per_group = out.channels() / op.groups;
  const float* weight = call.parameters[0].data();
  for (int o = 0; o < out.channels(); ++o) {
    float* to = call.out[0].data() + o * out_plane;
    if (op.bias) std::fill(to, to + out_plane, call.parameters[1][static_cast<std::size_t>(o)]);
    for (int i = 0; i < in_per_group; ++i) {
      const float* from = call.in[0].data() + (o / out_per_group * in_per_group + i) * in_plane;
      if (op.kernel == Size(1) && op.stride == Size(1) && !op.padding.any()) {
        const float w = *weight++;
        for (std::int64_t p = 0; p < out_plane; ++p) to[p] += w * from[p];
        continue;
      }
      for (int ky = 0; ky < op.kernel.h; ++ky)
        for (int kx = 0; kx < op.kernel.w; ++kx) add_shifted(op, in, out, ky, kx, *weight++, from, to);
    }
  }
  apply(op.activation, call.out[0]);
}

}  // namespace micromind::reference
