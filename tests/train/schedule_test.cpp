#include "micromind/train/schedule.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/train/progress.h"

namespace micromind {
namespace {

TEST(Schedule, WarmsUpLinearlyThenFollowsACosine) {
  TrainSection t;
  t.epochs = 10;
  t.learning_rate = 1;
  t.warmup_epochs = 2;
  t.warmup_learning_rate = 0.2;
  t.final_learning_rate = 0.1;
  const Schedule s(t, 10);
  EXPECT_EQ(s.total_steps(), 100);
  EXPECT_DOUBLE_EQ(s.at(0), 0.2);
  EXPECT_DOUBLE_EQ(s.at(10), 0.6);
  EXPECT_DOUBLE_EQ(s.at(20), 1);
  EXPECT_DOUBLE_EQ(s.at(60), 0.55);                  // half way: the mean of peak and end
  EXPECT_NEAR(s.at(40), 0.1 + 0.9 * 0.8535533905932737, 1e-12);  // (1 + cos 45°)/2
  EXPECT_DOUBLE_EQ(s.at(100), 0.1);
  EXPECT_DOUBLE_EQ(s.at(1000), 0.1);
}

TEST(Schedule, ConstantAndWarmUpThroughout) {
  TrainSection t;
  t.epochs = 2;
  t.learning_rate = 0.5;
  t.schedule = "constant";
  EXPECT_DOUBLE_EQ(Schedule(t, 3).at(0), 0.5);
  EXPECT_DOUBLE_EQ(Schedule(t, 3).at(5), 0.5);
  t.schedule = "cosine";
  t.warmup_epochs = 2;  // nothing is left for the cosine: no division by zero
  EXPECT_DOUBLE_EQ(Schedule(t, 3).at(3), 0.25);
  EXPECT_DOUBLE_EQ(Schedule(t, 3).at(6), 0);
}

TEST(Schedule, StepFallsAfterEachEpochNamed) {
  TrainSection t;
  t.epochs = 10;
  t.learning_rate = 1;
  t.schedule = "step";
  t.step_epochs = {2, 4.5};
  t.step_factor = 0.1;
  t.warmup_epochs = 1;
  const Schedule s(t, 10);
  EXPECT_DOUBLE_EQ(s.at(5), 0.5);  // warm-up
  EXPECT_DOUBLE_EQ(s.at(19), 1);
  EXPECT_DOUBLE_EQ(s.at(20), 0.1);
  EXPECT_DOUBLE_EQ(s.at(44), 0.1);
  EXPECT_DOUBLE_EQ(s.at(45), 0.01);
  EXPECT_DOUBLE_EQ(s.at(99), 0.01);
  t.step_epochs = {};
  EXPECT_THROW(Schedule(t, 10), Error);
}

TEST(Schedule, OneCycleRisesAndFallsByCosines) {
  TrainSection t;
  t.epochs = 10;
  t.learning_rate = 1;
  t.schedule = "one_cycle";
  t.one_cycle_rise = 0.4;
  t.warmup_learning_rate = 0.2;
  t.final_learning_rate = 0.05;
  const Schedule s(t, 10);
  EXPECT_DOUBLE_EQ(s.at(0), 0.2);
  EXPECT_NEAR(s.at(10), 0.2 + 0.8 * 0.14644660940672627, 1e-12);  // (1 − cos 45°)/2
  EXPECT_DOUBLE_EQ(s.at(20), 0.6);
  EXPECT_DOUBLE_EQ(s.at(40), 1);
  EXPECT_DOUBLE_EQ(s.at(70), 0.525);
  EXPECT_DOUBLE_EQ(s.at(100), 0.05);
  t.warmup_epochs = 1;
  EXPECT_THROW(Schedule(t, 10), Error);
}

TEST(Schedule, PlateauFallsAfterItsPatienceAndRemembers) {
  TrainSection t;
  t.epochs = 10;
  t.learning_rate = 1;
  t.final_learning_rate = 0.2;
  t.schedule = "plateau";
  t.step_factor = 0.5;
  t.plateau_patience = 1;
  t.warmup_epochs = 1;
  Schedule s(t, 10);
  s.validated(5, false);  // while warming up nothing is counted
  s.validated(8, false);
  EXPECT_DOUBLE_EQ(s.at(10), 1);
  s.validated(10, false);
  EXPECT_DOUBLE_EQ(s.at(10), 1);
  Schedule resumed(t, 10);
  resumed.load_state(s.state());
  for (Schedule* each : {&s, &resumed}) {
    each->validated(20, false);  // the second in a row
    EXPECT_DOUBLE_EQ(each->at(20), 0.5);
    each->validated(30, false);
    each->validated(40, true);  // a better one: counting starts anew
    each->validated(50, false);
    EXPECT_DOUBLE_EQ(each->at(50), 0.5);
    each->validated(60, false);
    EXPECT_DOUBLE_EQ(each->at(60), 0.25);
    each->validated(70, false);
    each->validated(80, false);
    EXPECT_DOUBLE_EQ(each->at(80), 0.2);  // never below final
    EXPECT_DOUBLE_EQ(each->at(5), 0.5);   // warm-up does not fall
  }
  EXPECT_THROW(s.load_state({{"falls", 1}}), Error);
  EXPECT_THROW(s.load_state({{"falls", -1}, {"waited", 0}}), Error);
}

TEST(Progress, ReadsWell) {
  EXPECT_EQ(format_duration(12.4), "12 s");
  EXPECT_EQ(format_duration(250), "4 min 10 s");
  EXPECT_EQ(format_duration(11100), "3 h 05 min");
  EXPECT_EQ(format_duration(-1), "? s");
  TrainProgress p{.epoch = 3, .epochs = 10, .step = 1200, .total_steps = 3910, .loss = 1.23456, .learning_rate = 9.1e-4,
                  .images_per_second = 1290, .eta_seconds = 250};
  EXPECT_EQ(progress_text(p), "epoch 3/10  step 1200/3910  loss 1.2346  lr 0.00091  1,290 images/s  4 min 10 s left");
  p.epoch_ended = p.best = true;
  p.metrics = {{"top1", 0.5}};
  EXPECT_EQ(progress_text(p), "epoch 3/10  loss 1.2346  validation top1 0.5000  1,290 images/s  *");
}

}  // namespace
}  // namespace micromind
