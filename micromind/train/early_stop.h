// Early stopping: so many validations in a row without a better one end the run.
#pragma once

#include "micromind/train/callback.h"

namespace micromind {

class EarlyStop : public TrainCallback {
 public:
  explicit EarlyStop(std::int64_t patience) : patience_(patience) {}
  void on_validation(TrainEvent& event) override {
    waited_ = event.progress.best ? 0 : waited_ + 1;
    if (waited_ >= patience_) event.stop = true;
  }
  std::string name() const override { return "early_stop"; }
  nlohmann::json state() const override { return waited_; }
  void load_state(const nlohmann::json& state) override { state.get_to(waited_); }

 private:
  std::int64_t patience_, waited_ = 0;
};

}  // namespace micromind
