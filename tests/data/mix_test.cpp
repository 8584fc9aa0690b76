#include "micromind/data/mix.h"

#include <cmath>
#include <set>

#include "data/support.h"

namespace micromind {
namespace {

TEST(SymmetricBeta, HasTheMomentsAndTailsOfItsDistribution) {
  for (const double alpha : {0.01, 0.2, 1.0, 4.0, 100.0}) {
    double mean = 0, square = 0;
    int small = 0;
    constexpr int n = 40000;
    Random random(1);
    for (int i = 0; i < n; ++i) {
      const double x = symmetric_beta(alpha, random);
      ASSERT_TRUE(x >= 0 && x <= 1) << x;
      mean += x / n;
      square += (x - 0.5) * (x - 0.5) / n;
      small += x < 0.25 ? 1 : 0;
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(variance / n)) << alpha;
    EXPECT_NEAR(square, variance, 0.03 * variance) << alpha;
    if (alpha == 1) {
      EXPECT_NEAR(small, n / 4, 450) << "uniform";
    }
  }
}

TEST(MixPlan, PairsNobodyWithItself) {
  Random random(2);
  MixPlan plan;
  std::set<std::vector<std::uint32_t>> plans;
  for (int i = 0; i < 200; ++i) {
    plan_mix({.mixup = 1}, 7, 8, 8, random, plan);
    EXPECT_FALSE(plan.cut);
    EXPECT_EQ(std::set<std::uint32_t>(plan.partner.begin(), plan.partner.end()).size(), 7u);
    for (std::uint32_t k = 0; k < 7; ++k) ASSERT_NE(plan.partner[k], k);
    plans.insert(plan.partner);
  }
  EXPECT_GT(plans.size(), 120u);  // of 720 cycles
}

TEST(MixPlan, CutMixBoxesLieInsideAndMeanTheirArea) {
  Random random(3);
  MixPlan plan;
  double drawn = 0;
  int cuts = 0, boxes = 0, edges = 0;
  for (int i = 0; i < 400; ++i) {
    plan_mix({.mixup = 0.5, .cutmix = 1}, 16, 20, 30, random, plan);
    cuts += plan.cut ? 1 : 0;
    EXPECT_EQ(plan.box.size(), plan.cut ? 16u : 0u);
    for (std::size_t k = 0; k < plan.box.size(); ++k) {
      const Box& b = plan.box[k];
      ASSERT_TRUE(b.top >= 0 && b.left >= 0 && b.height >= 0 && b.width >= 0 && b.top + b.height <= 20 && b.left + b.width <= 30);
      ASSERT_EQ(plan.weight[k], static_cast<float>(1 - b.height * b.width / 600.0));
      drawn += plan.weight[k];
      edges += b.top == 0 || b.left == 0 ? 1 : 0;
      ++boxes;
    }
  }
  EXPECT_NEAR(cuts, 200, 50);
  // λ uniform; the box is cut at the border, which leaves each side 1 − s/4 of its length s on the mean:
  // E[1 − s²(1 − s/4)²] with s² uniform = 1 − (1/2 − 1/5 + 1/48).
  EXPECT_NEAR(drawn / boxes, 1 - (0.5 - 0.2 + 1.0 / 48), 0.02);
  EXPECT_GT(edges, boxes / 4);
}

TEST(MixOptions, RefusesWhatIsOutOfRange) {
  for (const MixOptions& bad : {MixOptions{.mixup = -1}, MixOptions{.cutmix = NAN}, MixOptions{.probability = 1.5}}) EXPECT_THROW(bad.validate(), Error);
  EXPECT_FALSE((MixOptions{.mixup = 1, .probability = 0}).any());
}

}  // namespace
}  // namespace micromind
