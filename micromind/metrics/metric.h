// The interface of metrics: objects that are fed sample by sample and asked for their values at the end. A task says
// which it wants; the trainer logs them by stage ("train/top1", "validation/top1") and keeps half-finished ones in its
// checkpoints. What a sample is differs: classification.h has scores and a label; boxes would be another family.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace micromind {

using Metrics = std::map<std::string, double>;  ///< values by name

enum class Stage { train, validation, test };
std::string_view stage_name(Stage stage);
/// "top1" becomes "validation/top1".
Metrics with_stage(Stage stage, const Metrics& metrics);

class Metric {
 public:
  virtual ~Metric() = default;
  virtual std::string name() const = 0;  ///< "top1"
  virtual bool higher_is_better() const { return true; }
  virtual double value() const = 0;  ///< 0 before the first sample
  virtual void report(Metrics& into) const { into[name()] = value(); }  ///< a metric may add further values, as one a class
  virtual void reset() = 0;
  /// What was counted so far; load(state()) restores it exactly. load throws Error when the numbers do not fit.
  virtual std::vector<double> state() const = 0;
  virtual void load(std::span<const double> state) = 0;
};

/// A row of metrics that see the same samples.
class MetricSet {
 public:
  virtual ~MetricSet() = default;
  Metrics values() const;
  void reset();
  /// Throws Error when no metric has this name.
  bool higher_is_better(std::string_view name) const;

  std::map<std::string, std::vector<double>> state() const;
  /// Throws Error when a metric is missing, unknown or has other numbers.
  void load(const std::map<std::string, std::vector<double>>& state);

 protected:
  virtual std::vector<Metric*> all() const = 0;
};

}  // namespace micromind
