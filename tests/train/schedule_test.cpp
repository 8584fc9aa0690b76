#include "micromind/train/schedule.h"

#include <gtest/gtest.h>

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
