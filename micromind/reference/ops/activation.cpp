#include <algorithm>
#include <cmath>

#include "micromind/reference/ops.h"

namespace micromind::reference {

void apply(Function function, std::span<float> x) {
  const auto each = [&](auto f) { std::transform(x.begin(), x.end(), x.begin(), f); };
  const auto relu6 = [](float v) { return std::min(std::max(v, 0.0f), 6.0f); };
  switch (function) {
    case Function::none: return;
    case Function::relu: return each([](float v) { return std::max(v, 0.0f); });
    case Function::relu6: return each(relu6);
    case Function::hard_swish: return each([&](float v) { return v * relu6(v + 3) / 6; });
    case Function::silu: return each([](float v) { return v / (1 + std::exp(-v)); });
    case Function::sigmoid: return each([](float v) { return 1 / (1 + std::exp(-v)); });
    case Function::hard_sigmoid: return each([&](float v) { return relu6(v + 3) / 6; });
  }
}

void run(const Activation& op, const Call& call) {
  copy(call);
  apply(op.function, call.out[0]);
}

}  // namespace micromind::reference
