#include "micromind/train/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "micromind/base/random.h"

namespace micromind {
namespace {

constexpr std::int64_t kBatch = 6, kClasses = 5;

at::Tensor numbers(std::uint64_t seed, double scale = 3) {
  at::Tensor t = at::empty({kBatch, kClasses}, at::kDouble);
  Random random(seed);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data_ptr<double>()[i] = scale * random.normal();
  return t;
}

at::Tensor labels(std::uint64_t seed) {
  at::Tensor t = at::empty({kBatch}, at::kLong);
  Random random(seed);
  for (std::int64_t i = 0; i < kBatch; ++i) t.data_ptr<std::int64_t>()[i] = random.below(kClasses);
  return t;
}

at::Tensor weights() {
  at::Tensor t = at::empty({kBatch}, at::kDouble);
  for (std::int64_t i = 0; i < kBatch; ++i) t.data_ptr<double>()[i] = static_cast<double>(i) / (kBatch - 1);
  return t;
}

at::Tensor smoothed(const at::Tensor& targets, double s) { return targets * (1 - s) + s / static_cast<double>(kClasses); }

double distance(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

at::Tensor gradient(at::Tensor logits, const std::function<at::Tensor(const at::Tensor&)>& loss) {
  logits = logits.detach().clone().requires_grad_();
  loss(logits).backward();
  return logits.grad();
}

TEST(Loss, SoftTargetsHoldTheLabelPairs) {
  const at::Tensor a = labels(1), b = labels(2), w = weights(), t = soft_targets(a, b, w, kClasses);
  EXPECT_LT(distance(t.sum(1), w * 0 + 1), 1e-15);
  for (std::int64_t i = 0; i < kBatch; ++i)
    for (std::int64_t c = 0; c < kClasses; ++c) {
      const double share = w[i].item<double>();
      const double expected = (a[i].item<std::int64_t>() == c ? share : 0) + (b[i].item<std::int64_t>() == c ? 1 - share : 0);
      EXPECT_NEAR(t[i][c].item<double>(), expected, 1e-15);
    }
}

TEST(Loss, CrossEntropyOfPairsIsTheWeightedSumOfBoth) {
  const at::Tensor x = numbers(3), a = labels(1), b = labels(2), w = weights(), t = soft_targets(a, b, w, kClasses);
  for (const double s : {0.0, 0.1}) {
    const auto one = [&](const at::Tensor& y) { return at::cross_entropy_loss(x, y, {}, at::Reduction::None, -100, s); };
    EXPECT_NEAR(cross_entropy(x, t, s).item<double>(), (w * one(a) + (1 - w) * one(b)).mean().item<double>(), 1e-12);
    EXPECT_NEAR(cross_entropy(x, a, s).item<double>(), one(a).mean().item<double>(), 1e-12);
    const at::Tensor expected = (at::softmax(x, 1) - smoothed(t, s)) / static_cast<double>(kBatch);
    EXPECT_LT(distance(gradient(x, [&](const at::Tensor& y) { return classification_loss(Loss::cross_entropy, y, t, s); }), expected), 1e-14);
  }
}

TEST(Loss, BinaryCrossEntropyIsASigmoidAClass) {
  const at::Tensor x = numbers(4, 20), a = labels(1), t = soft_targets(a, labels(2), weights(), kClasses);
  const at::Tensor hot = soft_targets(a, a, weights(), kClasses);
  for (const double s : {0.0, 0.2}) {
    for (const at::Tensor& target : {t, hot}) {
      const double expected = at::binary_cross_entropy_with_logits(x, smoothed(target, s), {}, {}, at::Reduction::Mean).item<double>();
      EXPECT_NEAR(binary_cross_entropy(x, target, s).item<double>(), expected, 1e-12);
    }
    EXPECT_NEAR(binary_cross_entropy(x, a, s).item<double>(), binary_cross_entropy(x, hot, s).item<double>(), 1e-12);
    const at::Tensor expected = (at::sigmoid(x) - smoothed(t, s)) / static_cast<double>(kBatch * kClasses);
    EXPECT_LT(distance(gradient(x, [&](const at::Tensor& y) { return classification_loss(Loss::bce, y, t, s); }), expected), 1e-14);
  }
}

TEST(Loss, DistillationIsTheScaledDivergence) {
  const at::Tensor x = numbers(5), teacher = numbers(6);
  for (const double t : {0.5, 1.0, 4.0}) {
    const at::Tensor p = at::softmax(teacher / t, 1), q = at::softmax(x / t, 1);
    EXPECT_NEAR(distillation_loss(x, teacher, t).item<double>(), t * t * (p * (p / q).log()).sum().item<double>() / kBatch, 1e-12);
    const at::Tensor expected = (q - p) * (t / static_cast<double>(kBatch));
    EXPECT_LT(distance(gradient(x, [&](const at::Tensor& y) { return distillation_loss(y, teacher, t); }), expected), 1e-14);
    EXPECT_NEAR(distillation_loss(x, x + 3, t).item<double>(), 0, 1e-12);
  }
  const at::Tensor learner = teacher.clone().requires_grad_();
  EXPECT_FALSE(distillation_loss(x, learner, 1).requires_grad());
}

TEST(Loss, HalfPrecisionLogitsAreSummedInFloat) {
  const at::Tensor x = numbers(7), t = soft_targets(labels(1), labels(2), weights(), kClasses), rounded = x.to(at::kBFloat16);
  for (const Loss loss : {Loss::cross_entropy, Loss::bce}) {
    const at::Tensor value = classification_loss(loss, rounded, t, 0.1);
    EXPECT_EQ(value.scalar_type(), at::kFloat);
    EXPECT_NEAR(value.item<double>(), classification_loss(loss, rounded.to(at::kDouble), t, 0.1).item<double>(), 1e-5);
  }
}

TEST(Loss, RefusesWhatIsOutOfRange) {
  EXPECT_THROW(cross_entropy(numbers(1), labels(1), 1), Error);
  EXPECT_THROW(binary_cross_entropy(numbers(1), labels(1), -0.1), Error);
  EXPECT_THROW(distillation_loss(numbers(1), numbers(2), 0), Error);
  EXPECT_THAT(error_of([] { loss_from("bse"); }), ::testing::HasSubstr("bce"));
  EXPECT_THAT(error_of([] { cross_entropy(numbers(1), numbers(2).narrow(1, 0, 3), 0); }), ::testing::HasSubstr("cross entropy"));
}

}  // namespace
}  // namespace micromind
