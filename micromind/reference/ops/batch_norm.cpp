#include <algorithm>
#include <cmath>

#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const BatchNorm& op, const Call& call) {
  const auto &weight = call.parameters[0], &bias = call.parameters[1], &mean = call.parameters[2], &variance = call.parameters[3];
  const std::size_t plane = call.in[0].size() / weight.size();
  for (std::size_t c = 0; c < weight.size(); ++c) {
    const float scale = weight[c] / std::sqrt(variance[c] + op.eps);
    for (std::size_t p = c * plane; p < (c + 1) * plane; ++p) call.out[0][p] = (call.in[0][p] - mean[c]) * scale + bias[c];
  }
}

}  // namespace micromind::reference
