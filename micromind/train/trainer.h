// Training of any task: steps, validation, checkpoints, logs, exact resume.
//
//   ClassificationTask task(recipe, module.graph());          // tells loss and metrics; task.h
//   TrainResult r = Trainer(task, module, {.train = recipe.train, .seed = 1, .folder = "runs/x"}).run();
//
// What it leaves in the run folder:
//   checkpoints/last.pt   after every epoch, every validation and every train.checkpoint_every_steps steps; holds all that
//                         resuming needs
//   checkpoints/best.pt   the weights of the best validation so far, the average with train.ema_decay; without validation
//                         those after the last epoch. With train.keep_best > 1 also best-step-N.pt (best_checkpoints.h)
//   log.jsonl             {"kind": "step", "step", "epoch", "loss", "learning_rate", "gradient_norm",
//                          "images_per_second"} every `log_every_steps` steps,
//                         {"kind": "validation", "step", "epoch", "validation": {…}, "best"} for one within an epoch, and
//                         {"kind": "epoch", "step", "epoch", "loss", "learning_rate", "images_per_second", "seconds",
//                          "waited_seconds", "damaged_images", "train": {…}, "validation": {…}, "best"}: seconds of the
//                          epoch and how many of them the steps waited for data, training images that could not be read
//                          (where there were any), the last two where the epoch ended with a validation;
//                         steps are steps done, epochs count from 1; the norm is before clipping
//   events.out.tfevents.* the same figures for TensorBoard
//
// A run that is killed at any moment and resumed ends with the same bytes in last.pt at the same number of threads:
// weights, their average, optimiser, schedule, callbacks, position in the epoch and the half-finished means come back from
// last.pt, and every random number is a function of (seed, batch). Log lines beyond the checkpoint are dropped and written
// again.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "micromind/run/recipe.h"
#include "micromind/train/progress.h"
#include "micromind/train/task.h"

namespace micromind {

class Ranks;
class TrainCallback;

/// What a caller may hook into, and how to start.
struct TrainHooks {
  ProgressListener progress;  ///< after every step, every validation and every epoch
  std::function<void(const std::string& line)> note = {};  ///< the task's notes: damaged images and the like
  /// Go on from RUN/checkpoints/last.pt; without one the run starts from the beginning. false: a new run, the old
  /// checkpoints and logs of the folder are removed.
  bool resume = false;
  /// After step `step` (from 1) was done and logged, before its checkpoint; may throw (tests stop a run here).
  std::function<void(std::int64_t step)> after_step = {};
  std::int64_t log_every_steps = 50;
  std::vector<TrainCallback*> callbacks = {};  ///< called after the trainer's own; must outlive the trainer
  /// The processes that train together, each with its own share of the task's batches; a step takes the mean of their gradients.
  /// The first one writes, and what it reads and validates holds for all. All make the same calls. nullptr: this one alone.
  Ranks* ranks = nullptr;
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
  Metrics last, best;                  ///< of the last validation, and of the best one; empty without validation
  std::int64_t best_epoch = 0;         ///< from 1, that of the best validation or in which it took place
  std::int64_t best_step = 0;
  bool stopped_early = false;
  double images_per_second = 0;  ///< training steps of the last epoch; 0 when nothing was left to do
  double seconds = 0;            ///< of this call
};

class Trainer {
 public:
  /// Freezes train.freeze. Throws Error on a recipe out of range. Task and module must outlive the trainer.
  Trainer(Task& task, GraphModule& module, TrainerOptions options);
  ~Trainer();

  /// Trains to the last epoch, or until a callback stops it; the module ends with the last weights (their average with
  /// train.ema_decay), in eval mode. Throws
  ///   Interrupted  after Ctrl-C (of any process): the step is finished and last.pt written;
  ///   Error        when loss, gradients or weights are no longer finite (the last good checkpoint stays), when a file
  ///                cannot be written, when a checkpoint does not fit.
  ///   RankLost     when another process ended: the first one has written last.pt, after the last step that all took.
  TrainResult run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace micromind
