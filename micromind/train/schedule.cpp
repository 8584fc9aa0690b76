#include "micromind/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

double checked_rate(const char* key, double rate) {
  if (!std::isfinite(rate) || rate < 0) fail("recipe", "train.{} = {}: expected a finite rate of at least 0", key, rate);
  return rate;
}

// From `a` at t = 0 to `b` at t = 1.
double half_cosine(double a, double b, double t) { return b + (a - b) * (1 + std::cos(std::numbers::pi * t)) / 2; }

double share(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

}  // namespace

Schedule::Schedule(const TrainSection& train, std::int64_t steps_per_epoch)
    : peak_(checked_rate("learning_rate", train.learning_rate)),
      first_(checked_rate("warmup_learning_rate", train.warmup_learning_rate)),
      last_(checked_rate("final_learning_rate", train.final_learning_rate)),
      factor_(train.step_factor),
      patience_(train.plateau_patience) {
  const std::vector<std::string> known = {"cosine", "step", "one_cycle", "plateau", "constant"};
  const auto it = std::find(known.begin(), known.end(), train.schedule);
  if (it == known.end())
    fail_with_hint("recipe", name_hint(train.schedule, known), "train.schedule: unknown schedule '{}'", train.schedule);
  kind_ = static_cast<Kind>(it - known.begin());
  if (train.epochs < 1) fail("recipe", "train.epochs = {}: expected at least 1", train.epochs);
  if (!(train.warmup_epochs >= 0 && train.warmup_epochs <= static_cast<double>(train.epochs)))
    fail("recipe", "train.warmup_epochs = {}: expected 0 to train.epochs = {}", train.warmup_epochs, train.epochs);
  if (!(factor_ > 0 && factor_ < 1)) fail("recipe", "train.step_factor = {}: expected a number between 0 and 1", factor_);
  if (patience_ < 0) fail("recipe", "train.plateau_patience = {}: expected at least 0", patience_);
  const auto in_steps = [&](double epochs) { return std::llround(epochs * static_cast<double>(steps_per_epoch)); };
  total_ = train.epochs * steps_per_epoch;
  warmup_ = in_steps(train.warmup_epochs);
  if (kind_ == Kind::step) {
    if (train.step_epochs.empty()) fail("recipe", "train.step_epochs = []: expected the epochs after which the rate falls");
    for (const double epoch : train.step_epochs) {
      if (!(epoch > 0)) fail("recipe", "train.step_epochs = {}: expected positive epochs", epoch);
      falls_at_.push_back(in_steps(epoch));
    }
  }
  if (kind_ == Kind::one_cycle) {
    const double rise = train.one_cycle_rise;
    if (!(rise > 0 && rise < 1)) fail("recipe", "train.one_cycle_rise = {}: expected a number between 0 and 1", rise);
    if (warmup_ > 0) fail("recipe", "train.warmup_epochs = {}: expected 0, one_cycle rises by itself", train.warmup_epochs);
    warmup_ = std::llround(rise * static_cast<double>(total_));
  }
}

double Schedule::at(std::int64_t step) const {
  if (step < warmup_) {
    const double t = share(step, warmup_);
    return kind_ == Kind::one_cycle ? half_cosine(first_, peak_, t) : first_ + (peak_ - first_) * t;
  }
  switch (kind_) {
    case Kind::cosine:
    case Kind::one_cycle: return step >= total_ ? last_ : half_cosine(peak_, last_, share(step - warmup_, total_ - warmup_));
    case Kind::step: {
      const auto falls = std::count_if(falls_at_.begin(), falls_at_.end(), [&](std::int64_t at) { return at <= step; });
      return peak_ * std::pow(factor_, static_cast<double>(falls));
    }
    case Kind::plateau: return std::min(peak_, std::max(last_, peak_ * std::pow(factor_, static_cast<double>(falls_))));
    case Kind::constant: break;
  }
  return peak_;
}

void Schedule::validated(std::int64_t step, bool better) {
  if (kind_ != Kind::plateau) return;
  if (better) waited_ = 0;
  else if (step >= warmup_ && ++waited_ > patience_) {
    ++falls_;
    waited_ = 0;
  }
}

nlohmann::json Schedule::state() const { return {{"falls", falls_}, {"waited", waited_}}; }

void Schedule::load_state(const nlohmann::json& state) {
  try {
    const auto falls = state.at("falls").get<std::int64_t>(), waited = state.at("waited").get<std::int64_t>();
    if (falls < 0 || waited < 0) fail("checkpoint", "the schedule's state is damaged: {} falls, {} waited", falls, waited);
    falls_ = falls;
    waited_ = waited;
  } catch (const nlohmann::json::exception& e) {
    fail("checkpoint", "the schedule's state is damaged: {}", without_tag(e.what()));
  }
}

}  // namespace micromind
