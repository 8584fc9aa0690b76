// Keeps the weights of the best validations:
//
//   checkpoints/best.pt           the best; without validation those after the last epoch
//   checkpoints/best-step-120.pt  with train.keep_best > 1: each of the best so many, by the step that made it (the best
//                                 one too, so that no file is ever renamed); those that are overtaken are removed
#pragma once

#include <filesystem>
#include <vector>

#include "micromind/train/callback.h"

namespace micromind {

class BestCheckpoints : public TrainCallback {
 public:
  struct Options {
    std::filesystem::path folder;  ///< of the checkpoints
    std::int64_t keep = 1;
    bool validates = true;  ///< false: every epoch is the best so far
    std::string metric;     ///< that decides
    bool higher_is_better = true;
  };
  explicit BestCheckpoints(Options options) : options_(std::move(options)) {}

  /// Removes what an earlier run left. Throws Error when best.pt of a resumed run is missing.
  void on_start(TrainEvent& event) override;
  void on_validation(TrainEvent& event) override;
  void on_epoch(TrainEvent& event) override;
  std::string name() const override { return "best_checkpoints"; }
  nlohmann::json state() const override;
  void load_state(const nlohmann::json& state) override;

 private:
  struct Kept {
    std::int64_t step, epoch;
    double value;
  };
  std::filesystem::path best() const { return options_.folder / "best.pt"; }
  std::filesystem::path of_step(std::int64_t step) const;
  void remove_others() const;

  Options options_;
  std::vector<Kept> kept_;  ///< the best first; of equals the earlier
};

}  // namespace micromind
