#include "micromind/scaling/pareto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "error_of.h"
#include "micromind/networks/registry.h"

namespace micromind {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using nlohmann::json;

DesignRequest request_for(const std::string& family, Budget budget) {
  return {.family = family, .input = {3, 64, 64}, .classes = 10, .budget = budget, .sensitivity = false};
}

bool uses_no_more(const FrontPoint& a, const FrontPoint& b) {
  return a.use(kRam) <= b.use(kRam) && a.use(kFlash) <= b.use(kFlash) && a.use(kMacs) <= b.use(kMacs);
}

void expect_sound(const Front& front) {
  std::set<std::string> seen;
  int answered = 0;
  for (const FrontPoint& p : front.points) {
    EXPECT_EQ(p.design.gap, 0);
    EXPECT_TRUE(seen.insert(to_json(p.design.network).dump()).second) << p.design.options;
    EXPECT_FALSE(p.budgets.empty());
    for (const Resources<double>& b : p.budgets)
      for (const Resource r : kFrontAxes) EXPECT_LE(p.use(r), b[r]) << p.design.options;
    for (const ResourceUse& r : p.design.resources) EXPECT_LE(r.used, r.budget);
    answered += static_cast<int>(p.budgets.size());
    const Lowered lowered = lower(build_network(p.design.family, p.design.options));
    const Cost cost = estimate_cost(build_network(p.design.family, p.design.options), lowered);
    EXPECT_EQ(p.use(kRam), static_cast<double>(cost.peak_ram_bytes));
    EXPECT_EQ(p.use(kFlash), static_cast<double>(cost.flash_bytes));
    EXPECT_EQ(p.use(kMacs), static_cast<double>(cost.macs));
    for (const FrontPoint& other : front.points)
      if (&other != &p && uses_no_more(other, p)) {
        EXPECT_LT(other.design.objective, p.design.objective);
      }
  }
  if (front.dropped == 0) {
    EXPECT_EQ(answered + front.infeasible, front.combinations);
  }
  EXPECT_LE(front.searches, front.combinations);
}

TEST(Pareto, EveryFamilyGivesASoundFront) {
  for (const std::string family : {"phinet", "xinet", "mobilenet-v2", "efficientnet"})
    for (const Objective objective : {Objective::fill, Objective::macs}) {
      DesignRequest request = request_for(family, {.ram_bytes = 96e3, .flash_bytes = 900e3, .macs = 15e6});
      request.objective = objective;
      const Front front = design_front(request, 3);
      EXPECT_GE(front.points.size(), 3u) << family;
      EXPECT_EQ(front.combinations, 27);
      expect_sound(front);
    }
}

// What was taken from other combinations is what a search of one's own finds.
TEST(Pareto, EveryAnswerIsThatOfItsOwnRequest) {
  for (const std::string family : {"phinet", "xinet"}) {
    const Front front = design_front(request_for(family, {.ram_bytes = 64e3, .flash_bytes = 400e3, .macs = 8e6}), 3);
    int compared = 0;
    for (const FrontPoint& p : front.points)
      for (const Resources<double>& b : p.budgets) {
        const Design own = design(request_for(family, {.ram_bytes = b[kRam], .flash_bytes = b[kFlash], .macs = b[kMacs]}));
        EXPECT_NEAR(own.objective, p.design.objective, 1e-9) << family << " " << own.options << " " << p.design.options;
        ++compared;
      }
    EXPECT_EQ(compared, 27 - front.infeasible);
  }
}

TEST(Pareto, TheLargestPointIsTheDesignOfTheRequest) {
  const DesignRequest request = request_for("phinet", {.ram_bytes = 64e3});  // flash and MACs end where the design's use does
  const Front front = design_front(request, 3);
  const Design alone = design(request);
  EXPECT_EQ(front.points.back().use(kMacs), static_cast<double>(alone.cost.macs));
  EXPECT_EQ(front.budgets[2].back(), static_cast<double>(alone.cost.macs));
  EXPECT_EQ(front.budgets[0].back(), 64e3);
  expect_sound(front);
  const Front one = design_front(request, 1);
  ASSERT_EQ(one.points.size(), 1u);
  EXPECT_EQ(one.points[0].design.cost.macs, alone.cost.macs);
}

TEST(Pareto, RefusesWhatDesignRefuses) {
  EXPECT_THAT(error_of([] { design_front(request_for("phinet", {.ram_bytes = 10})); }), HasSubstr("RAM"));
  EXPECT_THAT(error_of([] { design_front(request_for("phinet", {})); }), HasSubstr("no budget"));
  EXPECT_THAT(error_of([] { design_front(request_for("resnet-8", {.ram_bytes = 1e5})); }), HasSubstr("phinet"));
  for (const int steps : {0, -1, 17}) EXPECT_THAT(error_of([&] { design_front(request_for("phinet", {.ram_bytes = 1e5}), steps); }), HasSubstr("1 to 16"));
}

TEST(Pareto, BudgetStepsAreAtEqualRatios) {
  EXPECT_THAT(budget_steps(1000, 8000, 4), ElementsAre(1000, 2000, 4000, 8000));
  EXPECT_THAT(budget_steps(1000, 8000.5, 1), ElementsAre(8000.5));
  EXPECT_THAT(budget_steps(5, 5, 4), ElementsAre(5));
  EXPECT_THAT(budget_steps(9, 5, 4), ElementsAre(5));
  EXPECT_THAT(budget_steps(1, 4, 8), ElementsAre(1, 2, 3, 4));
}

}  // namespace
}  // namespace micromind
