#include "micromind/metrics/classification.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

// −log softmax(scores)[label], by log-sum-exp around the maximum.
double cross_entropy(std::span<const float> scores, std::size_t label) {
  const double maximum = scores[argmax(scores)];
  double sum = 0;
  for (const float s : scores) sum += std::exp(s - maximum);
  return std::log(sum) + maximum - scores[label];
}

void need_state(const std::string& name, std::span<const double> state, std::size_t numbers) {
  bool good = state.size() == numbers;
  for (const double x : state) good = good && std::isfinite(x) && x >= 0;
  if (!good) fail("metrics", "{}: the state is damaged ({} numbers, expected {})", name, state.size(), numbers);
}

// A mean over samples.
class MeanMetric : public ClassificationMetric {
 public:
  double value() const override { return mean_.value(); }
  void reset() override { mean_ = {}; }
  std::vector<double> state() const override { return {mean_.sum, mean_.weight}; }
  void load(std::span<const double> state) override {
    need_state(name(), state, 2);
    mean_ = {state[0], state[1]};
  }

 protected:
  RunningMean mean_;
};

class TopKMetric : public MeanMetric {
 public:
  explicit TopKMetric(int k) : k_(k) {}
  std::string name() const override { return fmt::format("top{}", k_); }
  void add(std::span<const float> scores, std::int64_t label) override { mean_.add(in_top_k(k_, scores, label) ? 1 : 0); }

 private:
  int k_;
};

class LossMetric : public MeanMetric {
 public:
  std::string name() const override { return "loss"; }
  bool higher_is_better() const override { return false; }
  void add(std::span<const float> scores, std::int64_t label) override { mean_.add(cross_entropy(scores, static_cast<std::size_t>(label))); }
};

class RecallMetric : public ClassificationMetric {
 public:
  explicit RecallMetric(const std::vector<std::string>& class_names) : class_names_(class_names) { reset(); }
  std::string name() const override { return "recall"; }
  void add(std::span<const float> scores, std::int64_t label) override {
    each_[static_cast<std::size_t>(label)].add(argmax(scores) == static_cast<std::size_t>(label) ? 1 : 0);
  }
  /// Over the classes that had samples.
  double value() const override {
    RunningMean mean;
    for (const RunningMean& one : each_)
      if (one.weight > 0) mean.add(one.value());
    return mean.value();
  }
  void report(Metrics& into) const override {
    into[name()] = value();
    for (std::size_t i = 0; i < each_.size(); ++i)
      if (each_[i].weight > 0) into["recall/" + class_names_[i]] = each_[i].value();
  }
  void reset() override { each_.assign(class_names_.size(), {}); }
  std::vector<double> state() const override {
    std::vector<double> state;
    for (const RunningMean& one : each_) state.insert(state.end(), {one.sum, one.weight});
    return state;
  }
  void load(std::span<const double> state) override {
    need_state(name(), state, 2 * each_.size());
    for (std::size_t i = 0; i < each_.size(); ++i) each_[i] = {state[2 * i], state[2 * i + 1]};
  }

 private:
  std::vector<std::string> class_names_;
  std::vector<RunningMean> each_;
};

std::unique_ptr<ClassificationMetric> make_metric(const std::string& name, const std::vector<std::string>& class_names) {
  if (name == "loss") return std::make_unique<LossMetric>();
  if (name == "recall") return std::make_unique<RecallMetric>(class_names);
  int k = 0;
  const char* const end = name.data() + name.size();
  if (name.starts_with("top"))
    if (const auto [rest, error] = std::from_chars(name.data() + 3, end, k); error == std::errc() && rest == end && k > 0)
      return std::make_unique<TopKMetric>(k);
  fail_with_hint("metrics", name_hint(name, std::vector<std::string>{"top1", "top5", "loss", "recall"}), "unknown metric '{}'", name);
}

}  // namespace

ClassificationMetrics::ClassificationMetrics(std::span<const std::string> names, const std::vector<std::string>& class_names)
    : classes_(class_names.size()) {
  if (class_names.empty()) fail("metrics", "expected at least one class");
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) fail("metrics", "a metric is named twice: {}", fmt::join(names, ", "));
  for (const std::string& name : names) metrics_.push_back(make_metric(name, class_names));
}

void ClassificationMetrics::add(std::span<const float> scores, std::int64_t label) {
  if (scores.size() != classes_) fail("metrics", "expected {} scores, found {}", classes_, scores.size());
  if (label < 0 || static_cast<std::size_t>(label) >= classes_) fail("metrics", "label {} is outside the {} classes", label, classes_);
  for (const auto& metric : metrics_) metric->add(scores, label);
}

std::vector<Metric*> ClassificationMetrics::all() const {
  std::vector<Metric*> list;
  for (const auto& metric : metrics_) list.push_back(metric.get());
  return list;
}

void ClassificationMeter::add(std::span<const float> scores, std::int64_t label) {
  if (scores.size() != static_cast<std::size_t>(classes_))
    fail("classification", "expected {} scores, found {}", classes_, scores.size());
  top1_.add(scores, label);
  top5_.add(scores, label);
  loss_.add(cross_entropy(scores, static_cast<std::size_t>(label)));
  confusion_.add(label, static_cast<std::int64_t>(argmax(scores)));
}

ClassificationResult ClassificationMeter::result() const {
  return {.top1 = top1_.value(),
          .top5 = top5_.value(),
          .loss = loss_.value(),
          .samples = top1_.samples(),
          .confusion = confusion_.counts(),
          .class_accuracy = confusion_.per_class_accuracy()};
}

}  // namespace micromind
