#include <algorithm>
#include <cmath>

#include "micromind/reference/ops.h"

namespace micromind::reference {

// Over the channels, for every position.
void run(const Softmax&, const Call& call) {
  const std::size_t channels = static_cast<std::size_t>(call.in_shapes[0].channels()), plane = call.in[0].size() / channels;
  for (std::size_t p = 0; p < plane; ++p) {
    float top = -INFINITY;
    for (std::size_t c = 0; c < channels; ++c) top = std::max(top, call.in[0][c * plane + p]);
    double sum = 0;
    for (std::size_t c = 0; c < channels; ++c) sum += call.out[0][c * plane + p] = std::exp(call.in[0][c * plane + p] - top);
    for (std::size_t c = 0; c < channels; ++c) call.out[0][c * plane + p] = static_cast<float>(call.out[0][c * plane + p] / sum);
  }
}

}  // namespace micromind::reference
