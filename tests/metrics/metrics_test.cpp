#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/metrics/classification.h"

namespace micromind {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(Metrics, TopKRanksEqualsByIndexAndDistrustsNaN) {
  TopK top1(1), top2(2);
  const std::vector<float> scores = {1, 3, 2, 3};
  for (const int label : {0, 1, 2, 3}) {
    top1.add(scores, label);
    top2.add(scores, label);
  }
  EXPECT_DOUBLE_EQ(top1.value(), 0.25);  // only label 1
  EXPECT_DOUBLE_EQ(top2.value(), 0.5);   // labels 1 and 3
  TopK all_nan(1);
  all_nan.add(std::vector<float>{kNaN, kNaN}, 0);
  EXPECT_DOUBLE_EQ(all_nan.value(), 0);
  EXPECT_THROW(top1.add(scores, 4), Error);
  EXPECT_THROW(top1.add(scores, -1), Error);
  EXPECT_THROW(TopK(0), Error);
}

TEST(Metrics, ArgmaxTakesTheFirstOfEqualsAndSkipsNaN) {
  EXPECT_EQ(argmax(std::vector<float>{2, 5, 5, 1}), 1u);
  EXPECT_EQ(argmax(std::vector<float>{kNaN, -1, 0}), 2u);
  EXPECT_EQ(argmax(std::vector<float>{0, kNaN}), 0u);
}

TEST(Metrics, ConfusionMatrixCountsAndRecalls) {
  ConfusionMatrix matrix(3);
  matrix.add(0, 0);
  matrix.add(0, 1);
  matrix.add(1, 1);
  EXPECT_EQ(matrix.counts()[0], (std::vector<std::int64_t>{1, 1, 0}));
  EXPECT_EQ(matrix.per_class_accuracy(), (std::vector<double>{0.5, 1, 0}));
  EXPECT_THROW(matrix.add(3, 0), Error);
  EXPECT_THROW(matrix.add(0, -1), Error);
  EXPECT_THROW(ConfusionMatrix(0), Error);
}

TEST(Metrics, RunningMeanIsWeighted) {
  RunningMean mean;
  EXPECT_EQ(mean.value(), 0);
  mean.add(1, 3);
  mean.add(5, 1);
  EXPECT_DOUBLE_EQ(mean.value(), 2);
}

TEST(Metrics, ComparesOutputs) {
  const std::vector<float> a = {3, 4}, b = {3, 2}, zero = {0, 0};
  const OutputDifference d = compare_outputs(a, b);
  EXPECT_DOUBLE_EQ(d.rmse, std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(d.mae, 1);
  EXPECT_DOUBLE_EQ(d.largest, 2);
  EXPECT_NEAR(d.relative_l2, 2.0 / 5, 1e-12);
  EXPECT_EQ(compare_outputs(zero, zero).relative_l2, 0);
  EXPECT_TRUE(std::isinf(compare_outputs(zero, a).relative_l2));
  EXPECT_NEAR(d.cosine, 17 / (5 * std::sqrt(13.0)), 1e-12);
  EXPECT_DOUBLE_EQ(compare_outputs(zero, zero).cosine, 1);
  EXPECT_DOUBLE_EQ(compare_outputs(a, zero).cosine, 0);
  EXPECT_TRUE(std::isnan(compare_outputs(a, std::vector<float>{kNaN, 4}).largest));
  EXPECT_THROW(compare_outputs(a, std::vector<float>{1}), Error);
  EXPECT_THROW(compare_outputs({}, {}), Error);
}

TEST(Metrics, ClassificationMeterGathersThemAll) {
  ClassificationMeter meter(3);
  meter.add(std::vector<float>{0, 0, 0}, 1);               // a tie: predicts class 0
  meter.add(std::vector<float>{1000, 0, 0}, 0);            // no overflow
  const ClassificationResult r = meter.result();
  EXPECT_EQ(r.samples, 2);
  EXPECT_DOUBLE_EQ(r.top1, 0.5);
  EXPECT_DOUBLE_EQ(r.top5, 1);
  EXPECT_NEAR(r.loss, std::log(3.0) / 2, 1e-12);
  EXPECT_EQ(r.confusion[1][0], 1);
  EXPECT_THROW(meter.add(std::vector<float>{1, 2}, 0), Error);
}

TEST(Metrics, SetsAreMadeByNameAndReportEveryClass) {
  ClassificationMetrics set({"top1", "top2", "loss", "recall"}, {"cat", "dog", "owl"});
  EXPECT_EQ(set.values().at("top1"), 0);  // nothing seen
  const std::vector<float> cat = {2, 1, 0}, dog = {0, 3, 1};
  set.add(cat, 0);
  set.add(cat, 1);
  set.add(dog, 1);
  set.add(dog, 1);
  const Metrics values = set.values();
  EXPECT_DOUBLE_EQ(values.at("top1"), 0.75);
  EXPECT_DOUBLE_EQ(values.at("top2"), 1);
  EXPECT_DOUBLE_EQ(values.at("recall/cat"), 1);
  EXPECT_DOUBLE_EQ(values.at("recall/dog"), 2.0 / 3);
  EXPECT_FALSE(values.contains("recall/owl"));  // no sample: no figure
  EXPECT_DOUBLE_EQ(values.at("recall"), (1 + 2.0 / 3) / 2);
  const auto entropy = [](double a, double b, double c) { return std::log(std::exp(a) + std::exp(b) + std::exp(c)); };
  EXPECT_NEAR(values.at("loss"), (entropy(2, 1, 0) - 2 + entropy(2, 1, 0) - 1 + 2 * (entropy(0, 3, 1) - 3)) / 4, 1e-12);
  EXPECT_TRUE(set.higher_is_better("top1"));
  EXPECT_FALSE(set.higher_is_better("loss"));
  EXPECT_EQ(with_stage(Stage::validation, {{"top1", 0.5}}), (Metrics{{"validation/top1", 0.5}}));
}

TEST(Metrics, SetsGoOnFromTheirState) {
  ClassificationMetrics half({"top1", "loss", "recall"}, {"a", "b"}), other({"top1", "loss", "recall"}, {"a", "b"});
  const std::vector<float> scores = {0.3f, 0.1f};
  half.add(scores, 0);
  other.add(scores, 1);
  other.load(half.state());
  half.add(scores, 1);
  other.add(scores, 1);
  EXPECT_EQ(half.values(), other.values());
  other.reset();
  EXPECT_EQ(other.values().at("top1"), 0);
  auto state = half.state();
  state["top1"].push_back(1);
  EXPECT_THROW(other.load(state), Error);
  state = half.state();
  state["top1"][0] = kNaN;
  EXPECT_THROW(other.load(state), Error);
  state = half.state();
  state["more"] = {};
  EXPECT_THROW(other.load(state), Error);
  state = half.state();
  state.erase("loss");
  EXPECT_THROW(other.load(state), Error);
}

TEST(Metrics, SetsRefuseWhatTheyDoNotKnow) {
  const std::vector<std::string> classes = {"a", "b"};
  for (const std::string name : {"topp", "top0", "top-1", "top", "top5x", ""}) EXPECT_THROW(ClassificationMetrics({name}, classes), Error) << name;
  EXPECT_THROW(ClassificationMetrics({"top1", "top1"}, classes), Error);
  EXPECT_THROW(ClassificationMetrics({"top1"}, {}), Error);
  ClassificationMetrics set({"recall"}, classes);
  EXPECT_THROW(set.add(std::vector<float>{1, 2, 3}, 0), Error);
  EXPECT_THROW(set.add(std::vector<float>{1, 2}, 2), Error);
  EXPECT_THROW(set.add(std::vector<float>{1, 2}, -1), Error);
  EXPECT_THROW(set.higher_is_better("top1"), Error);
}

}  // namespace
}  // namespace micromind
