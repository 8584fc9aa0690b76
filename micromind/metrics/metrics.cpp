#include "micromind/metrics/metrics.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"

namespace micromind {
namespace {

void check_label(std::string_view where, std::int64_t label, std::size_t classes) {
  if (label < 0 || static_cast<std::size_t>(label) >= classes)
    fail(where, "label {} is outside the {} classes", label, classes);
}

}  // namespace

std::size_t argmax(std::span<const float> scores) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < scores.size(); ++i)
    if (scores[i] > scores[best] || std::isnan(scores[best])) best = i;
  return best;
}

bool in_top_k(int k, std::span<const float> scores, std::int64_t label) {
  check_label("top-k", label, scores.size());
  const auto own = static_cast<std::size_t>(label);
  int rank = 0;
  for (std::size_t i = 0; i < scores.size(); ++i)
    rank += scores[i] > scores[own] || (i < own && scores[i] == scores[own]);
  return rank < k && !std::isnan(scores[own]);
}

TopK::TopK(int k) : k_(k) {
  if (k < 1) fail("top-k", "k must be at least 1, found {}", k);
}

void TopK::add(std::span<const float> scores, std::int64_t label) { hits_.add(in_top_k(k_, scores, label) ? 1 : 0); }

ConfusionMatrix::ConfusionMatrix(int classes) {
  if (classes < 1) fail("confusion matrix", "expected at least one class, found {}", classes);
  const auto n = static_cast<std::size_t>(classes);
  counts_.assign(n, std::vector<std::int64_t>(n, 0));
}

void ConfusionMatrix::add(std::int64_t label, std::int64_t prediction) {
  check_label("confusion matrix", label, counts_.size());
  check_label("confusion matrix", prediction, counts_.size());
  ++counts_[static_cast<std::size_t>(label)][static_cast<std::size_t>(prediction)];
}

std::vector<double> ConfusionMatrix::per_class_accuracy() const {
  std::vector<double> shares;
  for (std::size_t label = 0; label < counts_.size(); ++label) {
    RunningMean mean;
    for (std::size_t prediction = 0; prediction < counts_.size(); ++prediction)
      mean.add(label == prediction ? 1 : 0, static_cast<double>(counts_[label][prediction]));
    shares.push_back(mean.value());
  }
  return shares;
}

OutputDifference compare_outputs(std::span<const float> expected, std::span<const float> found) {
  if (expected.size() != found.size() || expected.empty())
    fail("compare", "expected two outputs of one size, found {} and {} values", expected.size(), found.size());
  double squares = 0, absolute = 0, largest = 0, dot = 0, norm_a = 0, norm_b = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double a = expected[i], b = found[i], error = std::abs(a - b);
    squares += error * error;
    absolute += error;
    largest = std::isnan(error) ? error : std::max(largest, error);
    dot += a * b;
    norm_a += a * a;
    norm_b += b * b;
  }
  const auto n = static_cast<double>(expected.size());
  const double norms = std::sqrt(norm_a) * std::sqrt(norm_b);
  const double cosine = norms != 0 ? dot / norms : norm_a == norm_b ? 1 : 0;
  const double relative = squares == 0 ? 0 : std::sqrt(squares) / std::sqrt(norm_a);
  return {.rmse = std::sqrt(squares / n), .mae = absolute / n, .largest = largest, .relative_l2 = relative, .cosine = cosine};
}

}  // namespace micromind
