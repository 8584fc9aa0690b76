// Metrics as objects: feed them sample by sample, ask for the value at the end.
//
//   TopK top5(5);
//   for (…) top5.add(scores, label);
//   report(top5.value());          // a share in [0, 1]
//
// They know nothing of who computed the scores, so the float network, the int8 host run and a chip are measured alike.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace micromind {

/// Mean of weighted values; `sum` and `weight` are open so that a checkpoint can hold a half-finished mean exactly.
struct RunningMean {
  double sum = 0, weight = 0;
  void add(double value, double value_weight = 1) {
    sum += value * value_weight;
    weight += value_weight;
  }
  double value() const { return weight > 0 ? sum / weight : 0; }  ///< 0 before the first add
};

/// Index of the largest score; the first one of equals. `scores` must not be empty. NaN never wins, unless all are.
std::size_t argmax(std::span<const float> scores);

/// Is the label among the k largest scores? Of equal scores the lower index ranks first, so a network that answers a
/// constant is right for k of n labels; a NaN score of the label counts as wrong. Throws Error when `label` is outside
/// `scores`.
bool in_top_k(int k, std::span<const float> scores, std::int64_t label);

/// Share of samples whose label is among the k largest scores.
class TopK {
 public:
  explicit TopK(int k);
  /// Throws Error when `label` is outside `scores`.
  void add(std::span<const float> scores, std::int64_t label);
  double value() const { return hits_.value(); }
  std::int64_t samples() const { return static_cast<std::int64_t>(hits_.weight); }

 private:
  int k_;
  RunningMean hits_;
};

/// Counts of (label, prediction) pairs.
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(int classes);
  /// Throws Error when either is outside [0, classes).
  void add(std::int64_t label, std::int64_t prediction);
  const std::vector<std::vector<std::int64_t>>& counts() const { return counts_; }  ///< [label][prediction]
  std::vector<double> per_class_accuracy() const;  ///< recall of each class; 0 for a class without samples

 private:
  std::vector<std::vector<std::int64_t>> counts_;
};

/// How far `found` is from `expected`, element by element.
struct OutputDifference {
  double rmse = 0;     ///< root of the mean squared error
  double mae = 0;      ///< mean absolute error
  double largest = 0;  ///< largest absolute error
  double relative_l2 = 0;  ///< Euclidean norm of the error over that of `expected`; 0 when both are zero, else infinite for expected zeros
  double cosine = 1;   ///< cosine of the angle between the two as vectors; 1 when both are zero, 0 when one is
};

/// Throws Error when the sizes differ or are zero.
OutputDifference compare_outputs(std::span<const float> expected, std::span<const float> found);

}  // namespace micromind
