// Latency as a budget and as an objective of design: the search's own sum is the latency model's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "micromind/cost/latency.h"
#include "micromind/scaling/design.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

DesignRequest request(const char* family, const char* target) {
  DesignRequest r;
  r.family = family;
  r.input = {3, 64, 64};
  r.classes = 10;
  if (target != nullptr) r.target = load_target(target);
  r.sensitivity = false;
  return r;
}

const ResourceUse& latency(const Design& d) {
  for (const ResourceUse& r : d.resources)
    if (r.resource == kCycles) return r;
  throw std::runtime_error("no latency in the table");
}

TEST(LatencyDesign, ABudgetOfMillisecondsIsKeptAndUsed) {
  for (const char* family : {"phinet", "mobilenet-v2"})
    for (const auto& [target, ms] : {std::pair("stm32h743", 40.0), {"stm32l4r5", 250.0}}) {
      SCOPED_TRACE(std::string(family) + " on " + target);
      DesignRequest r = request(family, target);
      const double free = design(r).latency_ms;
      r.budget.latency_ms = ms;
      const Design d = design(r);
      EXPECT_GT(free, ms);  // so the budget binds
      EXPECT_LE(d.latency_ms, ms * (1 + 1e-9));
      EXPECT_GT(d.latency_ms, 0.7 * ms);
      EXPECT_NEAR(latency(d).used, d.latency_ms, 1e-6 * d.latency_ms);
      EXPECT_NEAR(d.latency_ms, 1e3 * estimate_latency(d.lowered, *r.target).seconds, 1e-9);
    }
}

TEST(LatencyDesign, TheLeastLatencyAtASize) {
  DesignRequest r = request("phinet", "stm32h743");
  r.budget.least_macs = 5e6;
  r.objective = Objective::macs;
  r.budget.macs = 6e6;
  const double other = design(r).latency_ms;
  r.objective = Objective::latency;
  const Design d = design(r);
  EXPECT_GE(static_cast<double>(d.cost.macs), 5e6);
  EXPECT_LT(d.latency_ms, other);
}

TEST(LatencyDesign, NeedsATargetWithAModel) {
  DesignRequest r = request("phinet", nullptr);
  r.budget.latency_ms = 10;
  EXPECT_THAT(error_of([&] { design(r); }), AllOf(HasSubstr("latency is a board's"), HasSubstr("--target")));
  r.target = load_target("esp32c3");
  EXPECT_THAT(error_of([&] { design(r); }), AllOf(HasSubstr("no latency model of rv32imc"), HasSubstr("cortex-m4")));
  r.budget.latency_ms.reset();
  EXPECT_EQ(design(r).latency_ms, 0);
  r = request("phinet", "stm32h743");
  r.budget.latency_ms = 1e-3;
  EXPECT_THAT(error_of([&] { design(r); }), HasSubstr("latency 0.001 ms cannot be met"));
}

}  // namespace
}  // namespace micromind
