// The learning rate of every step. With W = warmup_epochs, T = epochs and Eᵢ = step_epochs, all in steps:
//
//   warm-up    step < W: warmup + (peak − warmup) · step / W          (Goyal et al., 2017, section 2.2), then one of
//   cosine     final + (peak − final) · (1 + cos(π · (step − W) / (T − W))) / 2
//                                                      (Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, no restarts)
//   step       peak · step_factor^(how many Eᵢ ≤ step)                 (He et al., CVPR 2016, section 3.4)
//   one_cycle  R = one_cycle_rise · T steps from warmup up to the peak, then down to final, each half a cosine
//                                                      (Smith and Topin, 2019; momentum stays as it is)
//   plateau    peak · step_factor^falls, never below final; falls grows when more than plateau_patience validations in a
//              row after the warm-up were no better than the best      (torch's ReduceLROnPlateau, threshold and cooldown 0)
//   constant   peak
//
// peak = learning_rate, warmup = warmup_learning_rate, final = final_learning_rate.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "micromind/run/recipe.h"

namespace micromind {

class Schedule {
 public:
  /// Throws Error on an unknown schedule, rates that are negative or not finite, a warm-up beyond the last epoch.
  Schedule(const TrainSection& train, std::int64_t steps_per_epoch);
  double at(std::int64_t step) const;  ///< step counts from 0
  std::int64_t total_steps() const { return total_; }

  /// A validation took place after `step` steps; `better`: than all before it. Only plateau listens.
  void validated(std::int64_t step, bool better);

  /// What plateau remembers, for a checkpoint. load_state throws Error when it is damaged.
  nlohmann::json state() const;
  void load_state(const nlohmann::json& state);

 private:
  enum class Kind { cosine, step, one_cycle, plateau, constant };
  Kind kind_;
  double peak_, first_, last_, factor_;
  std::int64_t warmup_, total_, patience_;
  std::vector<std::int64_t> falls_at_;  // step: in steps
  std::int64_t falls_ = 0, waited_ = 0;  // plateau
};

}  // namespace micromind
