// What is trained: batches with their loss, and how good the network is. The trainer does the rest.
//
//   LambdaTask task({.steps_per_epoch = 40,
//                    .loss = [&](GraphModule& module, std::int64_t batch) { return at::mse_loss(module.forward(x), y); },
//                    .validate = [&](GraphModule& module) { return Metrics{{"loss", …}}; }});
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "micromind/metrics/metric.h"

namespace at {
class Tensor;
}

namespace micromind {

class GraphModule;

/// What a trainer needs to know of a task. Calls come from one thread.
class Task {
 public:
  virtual ~Task() = default;
  /// Batches of an epoch. A step of the optimiser takes train.accumulate of them, the last step of an epoch what is left.
  virtual std::int64_t steps_per_epoch() const = 0;
  /// Begins epoch `epoch` (from 0) at its batch `first_step`: the same batches as if it had run from the start.
  virtual void start_epoch(std::int64_t epoch, std::int64_t first_step) = 0;
  /// The mean loss of the next batch, a scalar that backward() can be called on, and how many images it held.
  virtual at::Tensor next_loss(GraphModule& module, std::int64_t& images) = 0;
  /// Metrics of the training batches, which next_loss() feeds, or nullptr. The trainer resets them as an epoch begins,
  /// logs them as it ends and keeps half-finished ones in checkpoints.
  virtual MetricSet* training_metrics() { return nullptr; }

  /// false: there is nothing to validate on. The last weights are the best then.
  virtual bool validates() const { return true; }
  /// Metrics of the validation set; the module is in eval mode. All must be finite. Comes between batches: it must not
  /// disturb the epoch under way.
  virtual Metrics validate(GraphModule& module) = 0;
  /// Which of them decides what is best, e.g. "top1".
  virtual std::string best_metric() const = 0;
  virtual bool higher_is_better() const { return true; }

  /// Time that next_loss() has waited for data, over the task's life.
  virtual double waited_seconds() const { return 0; }
  /// Training images of this epoch that could not be read so far.
  virtual std::int64_t damaged_images() const { return 0; }
  /// What the user should know, a line each: every line once.
  virtual std::vector<std::string> take_notes() { return {}; }
};

/// A task as functions.
struct TaskFunctions {
  std::int64_t steps_per_epoch = 0;
  std::int64_t images = 1;  ///< of a batch: weighs the means, counts the speed
  /// The mean loss of batch `batch`, counted from 0 over the whole run. As a function of `batch` alone (random numbers
  /// drawn from Random(seed, {batch})) it makes a resumed run see what it would have seen.
  std::function<at::Tensor(GraphModule& module, std::int64_t batch)> loss;
  std::function<Metrics(GraphModule& module)> validate = {};  ///< without one nothing is validated
  std::string best = "loss";                                  ///< the metric of `validate` that decides
  bool higher_is_better = false;
};

class LambdaTask : public Task {
 public:
  /// Throws Error without a loss, batches or images.
  explicit LambdaTask(TaskFunctions functions);
  std::int64_t steps_per_epoch() const override { return functions_.steps_per_epoch; }
  void start_epoch(std::int64_t epoch, std::int64_t first_step) override;
  at::Tensor next_loss(GraphModule& module, std::int64_t& images) override;
  bool validates() const override { return static_cast<bool>(functions_.validate); }
  Metrics validate(GraphModule& module) override { return functions_.validate(module); }
  std::string best_metric() const override { return functions_.best; }
  bool higher_is_better() const override { return functions_.higher_is_better; }

 private:
  TaskFunctions functions_;
  std::int64_t batch_ = 0;
};

}  // namespace micromind
