#include "micromind/reference/ops.h"

namespace micromind::reference {

// out = W·in + b
void run(const Linear& op, const Call& call) {
  const std::span<const float> x = call.in[0];
  const float* w = call.parameters[0].data();
  for (std::size_t o = 0; o < call.out[0].size(); ++o, w += x.size()) {
    double sum = op.bias ? call.parameters[1][o] : 0.0f;
    for (std::size_t i = 0; i < x.size(); ++i) sum += static_cast<double>(w[i]) * x[i];
    call.out[0][o] = static_cast<float>(sum);
  }
  apply(op.activation, call.out[0]);
}

}  // namespace micromind::reference
