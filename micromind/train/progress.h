// What a training run tells whoever watches it. The library hands these out and prints nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace micromind {

struct TrainProgress {
  bool epoch_ended = false;               ///< after its validation; false: after a step, or after a validation in between
  std::int64_t epoch = 0, epochs = 0;     ///< epoch counts from 1
  std::int64_t step = 0, total_steps = 0; ///< steps done
  double loss = 0;                        ///< mean training loss of the epoch so far
  double learning_rate = 0;
  double images_per_second = 0;           ///< training steps of this epoch, validation not counted
  double eta_seconds = 0;                 ///< until the last step, at this speed
  std::map<std::string, double> metrics;  ///< of validation; empty where none took place
  bool best = false;                      ///< the metrics are the best so far
  std::map<std::string, double> train_metrics = {};  ///< of the epoch's training batches, as it ends

  bool notable() const { return epoch_ended || !metrics.empty(); }  ///< more than another step
};

using ProgressListener = std::function<void(const TrainProgress&)>;

/// "epoch 3/10  step 1200/3910  loss 1.2345  lr 9.1e-04  1,290 images/s  4 min 10 s left", and at an epoch's end
/// "epoch 3/10  loss 1.2345  train top1 0.7345  validation top1 0.7123  … *" (the star marks the best); a validation within an
/// epoch has the step in it as well.
std::string progress_text(const TrainProgress& progress);

std::string format_duration(double seconds);  ///< "12 s", "4 min 10 s", "3 h 05 min"

}  // namespace micromind
