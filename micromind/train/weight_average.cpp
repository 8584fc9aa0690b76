#include "micromind/train/weight_average.h"

#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace micromind {

WeightAverage::WeightAverage(GraphModule& module, double decay) : module_(module), decay_(decay) {
  const c10::NoGradGuard no_grad;
  for (const at::Tensor& t : module.tensors()) tensors_.push_back(at::empty_like(t.detach()).copy_(t));
}

void WeightAverage::update(std::int64_t steps) {
  const c10::NoGradGuard no_grad;
  const auto t = static_cast<double>(steps);
  const double d = std::min(decay_, (1 + t) / (10 + t));
  std::size_t i = 0;
  for (const at::Tensor& now : module_.tensors()) tensors_[i++].lerp_(now.detach(), 1 - d);
}

// What could be swapped once can be swapped again.
void WeightAverage::swap_back() noexcept { swap(); }

void WeightAverage::copy_to_module() {
  const c10::NoGradGuard no_grad;
  std::size_t i = 0;
  for (const at::Tensor& mine : module_.tensors()) mine.detach().copy_(tensors_[i++]);
}

Weights WeightAverage::state() {
  const Use use(this);
  return module_.to_weights();
}

void WeightAverage::load_state(const Weights& state) {
  const Use use(this);
  module_.load(state);
}

}  // namespace micromind
