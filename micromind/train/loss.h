// Losses of training. All are means over the batch, differentiable in the logits, in the logits' precision (half and
// bfloat16: in float) and on their device; targets are moved there.
#pragma once

#include <cstdint>
#include <string>

namespace at {
class Tensor;
}

namespace micromind {

enum class Loss { cross_entropy, bce };
Loss loss_from(const std::string& name);  ///< throws Error with the nearest name

/// Label pairs as a distribution: weights on labels, 1 − weights on other_labels. labels, other_labels: [N] int64 in
/// [0, classes); weights: [N] in [0, 1] → [N, classes] in the weights' precision.
at::Tensor soft_targets(const at::Tensor& labels, const at::Tensor& other_labels, const at::Tensor& weights, std::int64_t classes);

/// Cross entropy of softmax(logits [N, classes]) and targets: labels [N] (int64) or soft ones [N, classes]. With
/// smoothing s a target t becomes (1 − s)·t + s/classes (Szegedy et al., "Rethinking the Inception architecture", CVPR
/// 2016, section 7). Throws Error unless 0 ≤ s < 1.
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double label_smoothing);

/// A sigmoid a class: −t·log σ(x) − (1 − t)·log(1 − σ(x)), mean over the classes too. Targets and smoothing as above
/// (Beyer et al., "Are we done with ImageNet?", 2020, train classifiers so).
at::Tensor binary_cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double label_smoothing);

at::Tensor classification_loss(Loss loss, const at::Tensor& logits, const at::Tensor& targets, double label_smoothing);

/// T² · KL(softmax(teacher / T) ‖ softmax(logits / T)): [N, classes] each. The factor keeps the gradient's size whatever
/// T is (Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, section 2). No gradient flows
/// to the teacher. T > 0.
at::Tensor distillation_loss(const at::Tensor& logits, const at::Tensor& teacher, double temperature);

}  // namespace micromind
