// What watches a training run: the log, the keeping of the best checkpoints and early stopping are callbacks, and a
// caller adds its own through TrainHooks::callbacks.
//
//   struct Beep : TrainCallback {
//     void on_validation(TrainEvent& e) override { if (e.progress.best) beep(); }
//   };
//   Beep beep;
//   Trainer(task, module, {.train = recipe.train, .folder = "runs/x", .hooks = {.callbacks = {&beep}}}).run();
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "micromind/graph/weights.h"
#include "micromind/train/progress.h"

namespace micromind {

/// Where the run stands, as a callback sees it.
struct TrainEvent {
  TrainProgress progress;
  double step_loss = 0, gradient_norm = 0;  ///< on_step: of this step; the norm before clipping
  double seconds = 0;                       ///< on_epoch: of the epoch, its validation counted
  double waited_seconds = 0;                ///< on_epoch: that steps have waited for data
  std::int64_t damaged_images = 0;          ///< on_epoch: training images that could not be read
  /// on_validation and on_epoch: the weights that are validated (with train.ema_decay the average). Throws Error when one
  /// is not finite.
  std::function<const Weights&()> weights = {};
  /// Set it to end the run after what is under way; last.pt is written and remembers.
  bool stop = false;
};

/// Calls come from the training thread, in the order of the callbacks. An exception ends the run.
class TrainCallback {
 public:
  virtual ~TrainCallback() = default;
  virtual void on_start(TrainEvent&) {}       ///< before the first step, after load_state()
  virtual void on_step(TrainEvent&) {}        ///< after each step of the optimiser
  virtual void on_validation(TrainEvent&) {}  ///< after each validation, in an epoch or at its end (before on_epoch)
  virtual void on_epoch(TrainEvent&) {}       ///< after each epoch
  virtual void on_end(TrainEvent&) {}         ///< after the last one, or when a callback has stopped the run

  /// A callback whose future depends on its past has a name and a state, which checkpoints hold: a resumed run goes on as
  /// if it had never stopped. "" has none.
  virtual std::string name() const { return ""; }
  virtual nlohmann::json state() const { return nullptr; }
  virtual void load_state(const nlohmann::json&) {}
};

}  // namespace micromind
