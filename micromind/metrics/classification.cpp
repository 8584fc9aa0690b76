#include "micromind/metrics/classification.h"

#include <cmath>

#include "micromind/base/error.h"

namespace micromind {
namespace {

// −log softmax(scores)[label], by log-sum-exp around the maximum.
double cross_entropy(std::span<const float> scores, std::size_t label) {
  const double maximum = scores[argmax(scores)];
  double sum = 0;
  for (const float s : scores) sum += std::exp(s - maximum);
  return std::log(sum) + maximum - scores[label];
}

}  // namespace

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
