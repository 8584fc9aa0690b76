#include "micromind/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

double checked_rate(const char* key, double rate) {
  if (!std::isfinite(rate) || rate < 0) fail("recipe", "train.{} = {}: expected a finite rate of at least 0", key, rate);
  return rate;
}

}  // namespace

Schedule::Schedule(const TrainSection& train, std::int64_t steps_per_epoch)
    : peak_(checked_rate("learning_rate", train.learning_rate)),
      first_(checked_rate("warmup_learning_rate", train.warmup_learning_rate)),
      last_(checked_rate("final_learning_rate", train.final_learning_rate)),
      cosine_(train.schedule == "cosine") {
  const std::vector<std::string> known = {"cosine", "constant"};
  if (std::find(known.begin(), known.end(), train.schedule) == known.end())
    fail_with_hint("recipe", name_hint(train.schedule, known), "train.schedule: unknown schedule '{}'", train.schedule);
  if (train.epochs < 1) fail("recipe", "train.epochs = {}: expected at least 1", train.epochs);
  if (!(train.warmup_epochs >= 0 && train.warmup_epochs <= static_cast<double>(train.epochs)))
    fail("recipe", "train.warmup_epochs = {}: expected 0 to train.epochs = {}", train.warmup_epochs, train.epochs);
  total_ = train.epochs * steps_per_epoch;
  warmup_ = std::llround(train.warmup_epochs * static_cast<double>(steps_per_epoch));
}

double Schedule::at(std::int64_t step) const {
  if (step < warmup_) return first_ + (peak_ - first_) * static_cast<double>(step) / static_cast<double>(warmup_);
  if (!cosine_) return peak_;
  if (step >= total_) return last_;
  const double t = static_cast<double>(step - warmup_) / static_cast<double>(total_ - warmup_);
  return last_ + (peak_ - last_) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

}  // namespace micromind
