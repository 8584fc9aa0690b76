// Time and energy of an inference, and frames a second at a power budget: the arithmetic, against numbers by hand.
#include "micromind/cost/energy.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "error_of.h"

namespace micromind {
namespace {

using testing::HasSubstr;

Target board(double active_mw) {
  Target t = load_target("stm32h743");
  t.clock_hz = 100'000'000;
  t.power = Power{active_mw, "a test", std::nullopt, ""};
  t.flash_timing.reset();
  return t;
}

TEST(Energy, CyclesBecomeTimeAndEnergy) {
  const EnergyEstimate e = estimate_energy({1e6, 0.8e6, 3200, "by hand"}, board(200));
  EXPECT_DOUBLE_EQ(e.seconds.likely, 0.008);
  EXPECT_DOUBLE_EQ(e.seconds.low, 0.0073);   // 0.73 cycles an instruction, the least published
  EXPECT_DOUBLE_EQ(e.seconds.high, 0.0096);  // 0.96
  EXPECT_DOUBLE_EQ(e.microjoules->likely, 1600);
  ASSERT_EQ(e.points.size(), 2u);
  EXPECT_DOUBLE_EQ(e.points[0].budget_mw, 10);
  EXPECT_DOUBLE_EQ(e.points[0].frames_per_second, 6.25);  // 10 mW / 1.6 mJ
  EXPECT_DOUBLE_EQ(e.points[0].duty, 0.05);
  EXPECT_DOUBLE_EQ(e.points[1].frames_per_second, 12.5);
  EXPECT_LT(e.points[0].least, 6.25);
  EXPECT_GT(e.points[0].most, 6.25);
  EXPECT_THAT(e.basis, testing::AllOf(HasSubstr("by hand"), HasSubstr("a test"), HasSubstr("asleep is not known")));
  EXPECT_THAT(e.error, testing::AllOf(HasSubstr("0.73 to 0.96"), HasSubstr("wait states of the flash are not known")));
}

TEST(Energy, WaitStatesCountUpwardsOnly) {
  Target t = board(200);
  t.flash_timing = FlashTiming{8, 32, "a manual"};
  const EnergyEstimate e = estimate_energy({1e6, 0.8e6, 3201, "by hand"}, t);
  EXPECT_DOUBLE_EQ(e.wait_cycles, 101 * 8);
  EXPECT_DOUBLE_EQ(e.cycles.likely, 0.8e6);
  EXPECT_DOUBLE_EQ(e.cycles.high, 0.96e6 + 808);
  EXPECT_THAT(e.error, HasSubstr("a manual"));
}

TEST(Energy, SleepTakesItsShare) {
  Target t = board(200);
  t.power->sleep_mw = 2;
  t.power->sleep_source = "a sheet";
  const EnergyEstimate e = estimate_energy({1e6, 0.8e6, 0, "by hand"}, t, {10, 1, 1000});
  EXPECT_DOUBLE_EQ(e.points[0].frames_per_second, (10 - 2) / (1.6 - 2 * 0.008));
  EXPECT_DOUBLE_EQ(e.points[1].frames_per_second, 0);        // less than asleep
  EXPECT_DOUBLE_EQ(e.points[2].frames_per_second, 1 / 0.008);  // always awake, and no faster
  EXPECT_NEAR(e.points[2].duty, 1, 1e-12);
  EXPECT_THAT(energy_text(e), HasSubstr("less than it draws asleep"));
}

TEST(Energy, WithoutPowerThereIsTimeAlone) {
  Target t = load_target("stm32f746");
  const EnergyEstimate e = estimate_energy({1e6, 0.8e6, 0, "by hand"}, t);
  EXPECT_FALSE(e.microjoules);
  EXPECT_TRUE(e.points.empty());
  EXPECT_THAT(e.basis, HasSubstr("states no power"));
  EXPECT_TRUE(to_json(e)["energy_uj_estimate"].is_null());
  Target m0 = load_target("rp2040");
  EXPECT_THAT(estimate_energy({1e6, 1.5e6, 0, "by hand"}, m0).error, HasSubstr("is not known"));
  EXPECT_THAT(error_of([&] { estimate_energy({0, 0, 0, ""}, t); }), HasSubstr("no work"));
}

// MLPerf Tiny's closed division on an STM32L4R5: 165 ms and 6919 µJ give the power that the target states.
TEST(Energy, ThePublishedBoardIsReproducedFromItsCycles) {
  const Target t = load_target("stm32l4r5");
  const EnergyEstimate e = estimate_energy({0.165 * 120e6 / 1.2, 0.165 * 120e6, 0, "published"}, t);
  EXPECT_NEAR(e.seconds.likely, 0.165, 1e-9);
  EXPECT_NEAR(e.microjoules->likely, 6919, 70);
}

TEST(Energy, PowersAreRead) {
  EXPECT_DOUBLE_EQ(parse_power("10mW"), 10);
  EXPECT_DOUBLE_EQ(parse_power("0.5 W"), 500);
  EXPECT_DOUBLE_EQ(parse_power("800uW"), 0.8);
  EXPECT_DOUBLE_EQ(parse_power("800µW"), 0.8);
  for (const char* wrong : {"", "10", "mW", "-1mW", "0W", "10mJ", "nanmW", "infW", "1e300W", "10mWx"})
    EXPECT_THAT(error_of([&] { parse_power(wrong); }), HasSubstr("is no power")) << wrong;
  EXPECT_EQ(parse_powers({}), default_power_budgets());
}

TEST(Energy, TimingAndSleepOfATargetNeedTheirSources) {
  for (const std::string& name : target_names()) {
    const Target t = load_target(name);
    EXPECT_TRUE(!t.flash_timing || t.flash_timing->source.size() > 20u) << name;
    if (!t.power || !t.power->sleep_mw) continue;
    EXPECT_GT(t.power->sleep_source.size(), 20u) << name;
    EXPECT_LT(*t.power->sleep_mw, t.power->active_mw) << name;
  }
}

}  // namespace
}  // namespace micromind
