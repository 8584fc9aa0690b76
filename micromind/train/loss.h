// Losses of training.
#pragma once

namespace at {
class Tensor;
}

namespace micromind {

/// Mean cross entropy of logits [N, classes] and labels [N] (int64). With smoothing s the target is 1 − s on the label
/// plus s/classes everywhere (Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7).
/// Throws Error unless 0 ≤ s < 1.
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing);

}  // namespace micromind
