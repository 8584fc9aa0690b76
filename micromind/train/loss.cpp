#include "micromind/train/loss.h"

#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>

#include "micromind/train/torch_error.h"

namespace micromind {

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing) {
  if (!(label_smoothing >= 0 && label_smoothing < 1))
    fail("recipe", "train.label_smoothing = {}: expected a number in [0, 1)", label_smoothing);
  return guard_torch("cross entropy", [&] {
    return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Mean, /*ignore_index=*/-100, label_smoothing);
  });
}

}  // namespace micromind
