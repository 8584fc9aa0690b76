// A small task that trains in milliseconds: 1×6×6 images of rows, columns or nothing under noise, made from
// (epoch, step).
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "micromind/base/random.h"
#include "micromind/metrics/classification.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/loss.h"
#include "micromind/train/trainer.h"
#include "train/toy_graph.h"

namespace micromind::testing {

struct ToyTask : Task {
  static constexpr std::int64_t kBatch = 8;
  std::int64_t steps = 5;
  std::int64_t nan_at_call = -1;  ///< the loss of this call (from 0) is NaN
  std::int64_t calls = 0, epoch = 0, step = 0;
  at::Tensor images, labels;
  std::shared_ptr<ClassificationMetrics> metrics =
      std::make_shared<ClassificationMetrics>(std::initializer_list<std::string>{"top1", "recall"}, std::vector<std::string>{"rows", "columns", "none"});

  void fill(std::uint64_t purpose) {
    images = at::empty({kBatch, 1, 6, 6}, at::kFloat);
    labels = at::empty({kBatch}, at::kLong);
    float* x = images.data_ptr<float>();
    Random random(9, {purpose, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(step)});
    for (std::int64_t n = 0; n < kBatch; ++n) {
      const std::int64_t label = n % 3;
      labels.data_ptr<std::int64_t>()[n] = label;
      for (int i = 0; i < 36; ++i) {
        const int stripe = label == 0 ? i / 6 % 2 : label == 1 ? i % 2 : 0;
        *x++ = 0.3f * random.normal() + static_cast<float>(2 * stripe);
      }
    }
  }
  std::int64_t steps_per_epoch() const override { return steps; }
  void start_epoch(std::int64_t e, std::int64_t first) override {
    epoch = e;
    step = first;
  }
  at::Tensor next_loss(GraphModule& module, std::int64_t& count) override {
    fill(1);
    ++step;
    count = kBatch;
    const at::Tensor scores = module.forward(images);
    for (std::int64_t n = 0; n < kBatch; ++n)
      metrics->add({scores.data_ptr<float>() + 3 * n, 3}, labels.data_ptr<std::int64_t>()[n]);
    const at::Tensor loss = cross_entropy(scores, labels, 0.1);
    return calls++ == nan_at_call ? loss.mul(NAN) : loss;
  }
  MetricSet* training_metrics() override { return metrics.get(); }
  Metrics validate(GraphModule& module) override {
    const std::int64_t e = epoch, s = step;
    epoch = step = 0;
    fill(2);
    epoch = e;
    step = s;
    const at::Tensor scores = module.forward(images).detach();
    return {{"top1", scores.argmax(1).eq(labels).to(at::kFloat).mean().item<double>()},
            {"loss", cross_entropy(scores, labels, 0).item<double>()}};
  }
  std::string best_metric() const override { return "top1"; }
};

/// Everything that a checkpoint must remember, at once.
inline void switch_everything_on(TrainSection& t) {
  t.optimizer = "lamb";
  t.schedule = "plateau";
  t.plateau_patience = 0;
  t.warmup_epochs = 0.2;
  t.weight_decay = 0.01;
  t.decay_norm_and_bias = false;
  t.layer_decay = 0.9;
  t.accumulate = 2;
  t.clip_norm = 0.5;
  t.ema_decay = 0.9;
  t.validate_every_steps = 2;
  t.keep_best = 3;
  t.early_stop = 1000;
  t.freeze = {"conv"};
}

inline TrainSection toy_section() {
  TrainSection t;
  t.epochs = 3;
  t.batch_size = ToyTask::kBatch;
  t.learning_rate = 0.01;
  t.warmup_epochs = 1;
  t.threads = 1;
  return t;
}

}  // namespace micromind::testing
