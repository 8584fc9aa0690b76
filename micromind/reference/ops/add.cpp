#include "micromind/reference/ops.h"

namespace micromind::reference {

void run(const Add& op, const Call& call) {
  for (std::size_t i = 0; i < call.out[0].size(); ++i) call.out[0][i] = call.in[0][i] + call.in[1][i];
  apply(op.activation, call.out[0]);
}

}  // namespace micromind::reference
