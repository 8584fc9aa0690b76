#include "micromind/train/run_position.h"

#include "micromind/base/error.h"

namespace micromind {

nlohmann::json to_json(const RunPosition& p) {
  return {{"step", p.step}, {"step_in_epoch", p.step_in_epoch}, {"epoch", p.epoch}, {"loss_sum", p.loss.sum},
          {"loss_weight", p.loss.weight}, {"last_loss", p.last_loss}, {"last", p.last}, {"best", p.best},
          {"best_epoch", p.best_epoch}, {"best_step", p.best_step}, {"stopped", p.stopped}};
}

RunPosition run_position_from(const nlohmann::json& j, std::int64_t steps_per_epoch) {
  RunPosition p;
  j.at("step").get_to(p.step);
  j.at("step_in_epoch").get_to(p.step_in_epoch);
  j.at("epoch").get_to(p.epoch);
  j.at("loss_sum").get_to(p.loss.sum);
  j.at("loss_weight").get_to(p.loss.weight);
  j.at("last_loss").get_to(p.last_loss);
  j.at("last").get_to(p.last);
  j.at("best").get_to(p.best);
  j.at("best_epoch").get_to(p.best_epoch);
  j.at("best_step").get_to(p.best_step);
  j.at("stopped").get_to(p.stopped);
  if (p.epoch < 0 || p.step_in_epoch < 0 || p.step_in_epoch > steps_per_epoch || p.step != p.epoch * steps_per_epoch + p.step_in_epoch)
    fail("checkpoint", "step {} is not step {} of epoch {}", p.step, p.step_in_epoch, p.epoch);
  return p;
}

}  // namespace micromind
