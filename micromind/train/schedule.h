// The learning rate of every step: linear warm-up, then cosine decay (Loshchilov and Hutter, "SGDR", ICLR 2017,
// equation 5 without restarts) or a constant.
//
//   step < W:  warmup_learning_rate + (learning_rate − warmup_learning_rate) · step / W
//   cosine:    final + (learning_rate − final) · (1 + cos(π · (step − W) / (T − W))) / 2
//
// with W = warmup_epochs and T = epochs, both in steps.
#pragma once

#include <cstdint>

#include "micromind/run/recipe.h"

namespace micromind {

class Schedule {
 public:
  /// Throws Error on an unknown schedule, rates that are negative or not finite, or a warm-up beyond the last epoch.
  Schedule(const TrainSection& train, std::int64_t steps_per_epoch);
  double at(std::int64_t step) const;  ///< step counts from 0
  std::int64_t total_steps() const { return total_; }

 private:
  double peak_, first_, last_;
  bool cosine_;
  std::int64_t warmup_, total_;
};

}  // namespace micromind
