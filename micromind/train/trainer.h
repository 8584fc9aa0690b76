// Training of any task: epochs, validation, checkpoints, logs, exact resume.
//
//   ClassificationTask task(recipe, module.graph());          // tells loss and metrics
//   TrainResult r = Trainer(task, module, {.train = recipe.train, .seed = 1, .folder = "runs/x"}).run();
//
// What it leaves in the run folder:
//   checkpoints/last.pt   after every epoch and every train.checkpoint_every_steps steps; holds all that resuming needs
//   checkpoints/best.pt   the weights of the best validation so far
//   log.jsonl             {"kind": "step", "step", "epoch", "loss", "learning_rate", "gradient_norm",
//                          "images_per_second"} every `log_every_steps` steps, and {"kind": "epoch", "step", "epoch",
//                          "loss", "learning_rate", "images_per_second", "seconds", "validation": {…}, "best"};
//                          steps are steps done, epochs count from 1
//   events.out.tfevents.* the same figures for TensorBoard
//
// A run that is killed at any moment and resumed ends with the same weights, byte for byte, at the same number of
// threads: weights, optimiser, position in the epoch and the half-finished means come back from last.pt, and every
// random number is a function of (seed, step). Log lines beyond the checkpoint are dropped and written again.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "micromind/run/recipe.h"
#include "micromind/train/progress.h"

namespace at {
class Tensor;
}

namespace micromind {

class GraphModule;

using Metrics = std::map<std::string, double>;

/// What a trainer needs to know of a task. Calls come from one thread.
class Task {
 public:
  virtual ~Task() = default;
  virtual std::int64_t steps_per_epoch() const = 0;
  /// Begins epoch `epoch` (from 0) at its batch `first_step`: the same batches as if it had run from the start.
  virtual void start_epoch(std::int64_t epoch, std::int64_t first_step) = 0;
  /// The mean loss of the next batch, a scalar that backward() can be called on, and how many images it held.
  virtual at::Tensor next_loss(GraphModule& module, std::int64_t& images) = 0;
  /// Metrics of the validation set; the module is in eval mode. All must be finite.
  virtual Metrics validate(GraphModule& module) = 0;
  /// Which of them decides what is best, e.g. "top1".
  virtual std::string best_metric() const = 0;
  virtual bool higher_is_better() const { return true; }
};

/// What a caller may hook into, and how to start.
struct TrainHooks {
  ProgressListener progress;  ///< after every step and every epoch
  /// Go on from RUN/checkpoints/last.pt; without one the run starts from the beginning. false: a new run, the old
  /// checkpoints and logs of the folder are removed.
  bool resume = false;
  /// After step `step` (from 1) was done and logged, before its checkpoint; may throw (tests stop a run here).
  std::function<void(std::int64_t step)> after_step;
  std::int64_t log_every_steps = 50;
};

struct TrainerOptions {
  TrainSection train;
  std::uint64_t seed = 0;
  std::filesystem::path folder;  ///< the run folder; made when absent
  TrainHooks hooks = {};
};

struct TrainResult {
  std::int64_t steps = 0, epochs = 0;  ///< done
  double loss = 0;                     ///< mean training loss of the last epoch
  Metrics last, best;                  ///< validation metrics after the last epoch, and of the best one
  std::int64_t best_epoch = 0;         ///< from 1
  double images_per_second = 0;        ///< training steps of the last epoch; 0 when nothing was left to do
  double seconds = 0;                  ///< of this call
};

class Trainer {
 public:
  /// Throws Error on a recipe out of range. Task and module must outlive the trainer.
  Trainer(Task& task, GraphModule& module, TrainerOptions options);
  ~Trainer();

  /// Trains to the last epoch; the module ends with the last weights, in eval mode. Throws
  ///   Interrupted  after Ctrl-C: the step is finished and last.pt written;
  ///   Error        when loss, gradients or weights are no longer finite (the last good checkpoint stays), when a file
  ///                cannot be written, when a checkpoint does not fit.
  TrainResult run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace micromind
