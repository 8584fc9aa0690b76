// What a classifier is judged by, whoever ran it: libtorch, the int8 host, or a chip.
#pragma once

#include "micromind/metrics/metrics.h"

namespace micromind {

struct ClassificationResult {
  double top1 = 0, top5 = 0;  ///< shares in [0, 1]
  double loss = 0;            ///< mean cross entropy of softmax(scores), natural logarithm, without label smoothing
  std::int64_t samples = 0;
  std::vector<std::vector<std::int64_t>> confusion;  ///< [label][prediction]
  std::vector<double> class_accuracy;                ///< recall of each class
};

/// Feed it the scores (logits) of each sample.
class ClassificationMeter {
 public:
  explicit ClassificationMeter(int classes) : classes_(classes), confusion_(classes) {}
  /// `scores`: [classes]. Throws Error when the count or the label does not fit.
  void add(std::span<const float> scores, std::int64_t label);
  ClassificationResult result() const;

 private:
  int classes_;
  TopK top1_{1}, top5_{5};
  RunningMean loss_;
  ConfusionMatrix confusion_;
};

}  // namespace micromind
