#include "micromind/train/loss.h"

#include <ATen/core/Reduction.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/kl_div.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "micromind/base/text.h"
#include "micromind/train/torch_error.h"

namespace micromind {
namespace {

at::Tensor precise(const at::Tensor& logits) {
  const bool half = logits.scalar_type() == at::kHalf || logits.scalar_type() == at::kBFloat16;
  return half ? logits.to(at::kFloat) : logits;
}

// Labels stay labels, distributions take the logits' precision; both go to their device.
at::Tensor beside(const at::Tensor& targets, const at::Tensor& logits) {
  return targets.dim() == 1 ? targets.to(logits.device()) : targets.to(logits.options());
}

void check_smoothing(double smoothing) {
  if (!(smoothing >= 0 && smoothing < 1)) fail("recipe", "train.label_smoothing = {}: expected a number in [0, 1)", smoothing);
}

}  // namespace

Loss loss_from(const std::string& name) {
  if (name == "cross_entropy") return Loss::cross_entropy;
  if (name == "bce") return Loss::bce;
  fail_with_hint("recipe", name_hint(name, std::vector<std::string>{"cross_entropy", "bce"}), "train.loss = \"{}\": expected cross_entropy or bce", name);
}

at::Tensor soft_targets(const at::Tensor& labels, const at::Tensor& other_labels, const at::Tensor& weights, std::int64_t classes) {
  return guard_torch("soft targets", [&] {
    return at::zeros({labels.size(0), classes}, weights.options())
        .scatter_add_(1, labels.unsqueeze(1), weights.unsqueeze(1))
        .scatter_add_(1, other_labels.unsqueeze(1), (1 - weights).unsqueeze(1));
  });
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double label_smoothing) {
  check_smoothing(label_smoothing);
  return guard_torch("cross entropy", [&] {
    const at::Tensor scores = precise(logits);
    return at::cross_entropy_loss(scores, beside(targets, scores), {}, at::Reduction::Mean, /*ignore_index=*/-100, label_smoothing);
  });
}

at::Tensor binary_cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double label_smoothing) {
  check_smoothing(label_smoothing);
  return guard_torch("binary cross entropy", [&] {
    const at::Tensor scores = precise(logits);
    at::Tensor t = beside(targets, scores);
    if (t.dim() == 1) t = at::zeros(scores.sizes(), scores.options()).scatter_(1, t.unsqueeze(1), 1.0);
    if (label_smoothing > 0) t = t * (1 - label_smoothing) + label_smoothing / static_cast<double>(scores.size(1));
    return at::binary_cross_entropy_with_logits(scores, t, {}, {}, at::Reduction::Mean);
  });
}

at::Tensor classification_loss(Loss loss, const at::Tensor& logits, const at::Tensor& targets, double label_smoothing) {
  return loss == Loss::bce ? binary_cross_entropy(logits, targets, label_smoothing) : cross_entropy(logits, targets, label_smoothing);
}

at::Tensor distillation_loss(const at::Tensor& logits, const at::Tensor& teacher, double temperature) {
  if (!(temperature > 0)) fail("recipe", "distill.temperature = {}: expected a positive number", temperature);
  return guard_torch("distillation", [&] {
    const at::Tensor scores = precise(logits);
    const at::Tensor goal = at::log_softmax(teacher.detach().to(scores.options()) / temperature, 1);
    const at::Tensor sum = at::kl_div(at::log_softmax(scores / temperature, 1), goal, at::Reduction::Sum, /*log_target=*/true);
    return sum * (temperature * temperature / static_cast<double>(scores.size(0)));
  });
}

}  // namespace micromind
