// What a classifier is judged by, whoever ran it: libtorch, the int8 host, or a chip.
//
//   ClassificationMetrics metrics({"top1", "loss"}, class_names);
//   for (…) metrics.add(scores, label);
//   metrics.values().at("top1");
#pragma once

#include "micromind/metrics/metric.h"
#include "micromind/metrics/metrics.h"

namespace micromind {

/// A metric of scores (logits) and a label.
class ClassificationMetric : public Metric {
 public:
  /// `scores`: [classes]. Throws Error when the label is outside of them.
  virtual void add(std::span<const float> scores, std::int64_t label) = 0;
};

/// Metrics by name:
///   "top1", "top5", …   share of samples whose label is among the k best scores
///   "loss"              mean cross entropy of softmax(scores), natural logarithm, without label smoothing
///   "recall"            mean over the classes of the share of each that is recognised; and "recall/CLASS" for each
class ClassificationMetrics : public MetricSet {
 public:
  /// Throws Error on an unknown name, one named twice, or no classes.
  ClassificationMetrics(std::span<const std::string> names, const std::vector<std::string>& class_names);
  ClassificationMetrics(std::initializer_list<std::string> names, const std::vector<std::string>& class_names)
      : ClassificationMetrics(std::span<const std::string>(names.begin(), names.size()), class_names) {}

  /// Throws Error when the count of scores or the label does not fit.
  void add(std::span<const float> scores, std::int64_t label);

 protected:
  std::vector<Metric*> all() const override;

 private:
  std::size_t classes_;
  std::vector<std::unique_ptr<ClassificationMetric>> metrics_;
};

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
