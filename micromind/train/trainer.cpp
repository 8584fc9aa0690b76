#include "micromind/train/trainer.h"

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/text.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/metrics/metrics.h"
#include "micromind/train/compute.h"
#include "micromind/train/event_file.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/optimizer.h"
#include "micromind/train/run_log.h"
#include "micromind/train/schedule.h"
#include "micromind/train/torch_error.h"

namespace micromind {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Where a run stands; with the weights and the optimiser, all that a checkpoint holds.
struct Position {
  std::int64_t step = 0;           // done in all
  std::int64_t step_in_epoch = 0;  // done in the epoch that is under way
  std::int64_t epoch = 0;          // epochs finished
  RunningMean loss;                // of the epoch that is under way
  double last_loss = 0;            // of the last finished epoch
  Metrics last, best;
  std::int64_t best_epoch = 0;
};

nlohmann::json to_json(const Position& p) {
  return {{"step", p.step}, {"step_in_epoch", p.step_in_epoch}, {"epoch", p.epoch}, {"loss_sum", p.loss.sum},
          {"loss_weight", p.loss.weight}, {"last_loss", p.last_loss}, {"last", p.last}, {"best", p.best},
          {"best_epoch", p.best_epoch}};
}

Position position_from(const nlohmann::json& j) {
  Position p;
  j.at("step").get_to(p.step);
  j.at("step_in_epoch").get_to(p.step_in_epoch);
  j.at("epoch").get_to(p.epoch);
  j.at("loss_sum").get_to(p.loss.sum);
  j.at("loss_weight").get_to(p.loss.weight);
  j.at("last_loss").get_to(p.last_loss);
  j.at("last").get_to(p.last);
  j.at("best").get_to(p.best);
  j.at("best_epoch").get_to(p.best_epoch);
  return p;
}

}  // namespace

struct Trainer::Impl {
  Task& task;
  GraphModule& module;
  TrainerOptions options;
  const TrainSection& train;
  const TrainHooks& hooks;
  std::int64_t steps_per_epoch;
  Schedule schedule;
  Optimizer optimizer;
  std::filesystem::path last_path, best_path;
  Position position;
  std::optional<RunLog> log;
  std::optional<EventFile> events;
  // Speed of the epoch under way; validation and checkpoints do not count.
  double epoch_seconds = 0;
  std::int64_t epoch_images = 0;

  Impl(Task& t, GraphModule& m, TrainerOptions o)
      : task(t),
        module(m),
        options(std::move(o)),
        train(options.train),
        hooks(options.hooks),
        steps_per_epoch(t.steps_per_epoch()),
        schedule(train, steps_per_epoch),
        optimizer(train, m.trainable()),
        last_path(options.folder / "checkpoints" / "last.pt"),
        best_path(options.folder / "checkpoints" / "best.pt") {
    if (steps_per_epoch < 1)
      fail_with_hint("train", "lower train.batch_size or use more data", "an epoch has no full batch of {}", train.batch_size);
    if (train.checkpoint_every_steps < 0)
      fail("recipe", "train.checkpoint_every_steps = {}: expected at least 0", train.checkpoint_every_steps);
    if (hooks.log_every_steps < 1) fail("train", "log_every_steps = {}: expected at least 1", hooks.log_every_steps);
  }

  double images_per_second() const { return epoch_seconds > 0 ? static_cast<double>(epoch_images) / epoch_seconds : 0; }

  // --- checkpoints -----------------------------------------------------------------------------------------

  /// What must be the same when a run is resumed, or its batches and its optimiser's state mean something else.
  nlohmann::json identity() const {
    return {{"seed", options.seed}, {"batch_size", train.batch_size}, {"optimizer", train.optimizer},
            {"steps_per_epoch", steps_per_epoch}};
  }

  void check_finite(const Weights& weights) const {
    for (const auto& [name, array] : weights)
      for (const float v : array.values<float>())
        if (!std::isfinite(v)) diverged(fmt::format("{} holds {}", name, v));
  }

  void save_last(Weights weights) const {
    const nlohmann::json state = {{"identity", identity()}, {"position", to_json(position)}, {"optimizer_steps", optimizer.steps()}};
    write_checkpoint(last_path, {std::move(weights), optimizer.state(), state.dump()});
  }

  void save_last() const {
    Weights weights = module.to_weights();
    check_finite(weights);
    save_last(std::move(weights));
  }

  void resume() {
    const Checkpoint checkpoint = read_checkpoint(last_path);
    if (checkpoint.state.empty())
      fail_with_hint("checkpoint", "it holds weights alone; resume from last.pt", "{} tells no position", last_path.string());
    std::int64_t optimizer_steps = 0;
    try {
      const nlohmann::json json = nlohmann::json::parse(checkpoint.state);
      const nlohmann::json then = json.at("identity"), now = identity();
      for (const auto& [key, value] : now.items())
        if (then.at(key) != value)
          fail_with_hint("checkpoint", "resume with the recipe of the run, or train anew without --resume",
                         "{} was written with {} = {}, now it is {}", last_path.string(), key, then.at(key).dump(), value.dump());
      position = position_from(json.at("position"));
      json.at("optimizer_steps").get_to(optimizer_steps);
      const Position& p = position;
      if (p.epoch < 0 || p.step_in_epoch < 0 || p.step_in_epoch > steps_per_epoch ||
          p.step != p.epoch * steps_per_epoch + p.step_in_epoch)
        fail("checkpoint", "{}: step {} is not step {} of epoch {}", last_path.string(), p.step, p.step_in_epoch, p.epoch);
    } catch (const nlohmann::json::exception& e) {
      fail("checkpoint", "{}: the trainer's state is damaged: {}", last_path.string(), without_tag(e.what()));
    }
    module.load(checkpoint.weights);
    optimizer.load_state(checkpoint.optimizer, optimizer_steps);
  }

  void start() {
    std::error_code ignored;
    if (hooks.resume && std::filesystem::exists(last_path, ignored)) {
      resume();
      if (!position.best.empty() && !std::filesystem::exists(best_path, ignored))
        fail_with_hint("checkpoint", "put it back, or train anew with --force", "{} is missing, and the weights of epoch {} with it",
                       best_path.string(), position.best_epoch);
    } else if (!hooks.resume) {
      std::filesystem::remove(last_path, ignored);
      std::filesystem::remove(best_path, ignored);
      for (const auto& entry : std::filesystem::directory_iterator(options.folder, ignored))
        if (entry.path().filename().string().starts_with("events.out.tfevents.")) std::filesystem::remove(entry.path(), ignored);
    }
    log.emplace(options.folder / "log.jsonl", position.step);
    events.emplace(options.folder, hooks.resume && position.step > 0 ? position.step + 1 : 0);
  }

  // --- steps and epochs ------------------------------------------------------------------------------------

  [[noreturn]] void diverged(const std::string& what) const {
    const std::string kept = std::filesystem::exists(last_path) ? "the last good checkpoint is kept in " + last_path.string()
                                                                : "no checkpoint had been written yet";
    fail_with_hint("train", fmt::format("{}; try a lower train.learning_rate (now {})", kept, train.learning_rate),
                   "training diverged at step {} (epoch {}): {}", position.step + 1, position.epoch + 1, what);
  }

  TrainProgress progress() const {
    const double speed = images_per_second();
    const double images_left = static_cast<double>((schedule.total_steps() - position.step) * train.batch_size);
    return {.epoch = position.epoch + 1, .epochs = train.epochs, .step = position.step, .total_steps = schedule.total_steps(),
            .loss = position.loss.value(), .learning_rate = schedule.at(std::max<std::int64_t>(0, position.step - 1)),
            .images_per_second = speed, .eta_seconds = speed > 0 ? images_left / speed : 0};
  }

  void step() {
    const Clock::time_point began = Clock::now();
    const double rate = schedule.at(position.step);
    module.set_step(static_cast<std::uint64_t>(position.step));
    std::int64_t images = 0;
    optimizer.zero_grad();
    at::Tensor loss = task.next_loss(module, images);
    const auto value = loss.item<double>();
    if (!std::isfinite(value)) diverged(fmt::format("the loss is {}", value));
    loss.backward();
    loss = at::Tensor();
    const double norm = optimizer.gradient_norm();
    if (!std::isfinite(norm)) diverged(fmt::format("the gradient's norm is {}", norm));
    optimizer.step(rate);
    ++position.step;
    ++position.step_in_epoch;
    position.loss.add(value, static_cast<double>(images));
    epoch_seconds += seconds_since(began);
    epoch_images += images;
    if (position.step % hooks.log_every_steps == 0) {
      log->add({{"kind", "step"}, {"step", position.step}, {"epoch", position.epoch + 1}, {"loss", value}, {"learning_rate", rate},
                {"gradient_norm", norm}, {"images_per_second", images_per_second()}});
      events->add(position.step, {{"train/loss", value}, {"train/learning_rate", rate}, {"train/gradient_norm", norm},
                            {"train/images_per_second", images_per_second()}});
    }
    if (hooks.progress) hooks.progress(progress());
    if (hooks.after_step) hooks.after_step(position.step);
  }

  // What is left of the epoch's steps. Throws Interrupted between two of them.
  void run_steps() {
    module.train();
    task.start_epoch(position.epoch, position.step_in_epoch);
    epoch_seconds = 0;
    epoch_images = 0;
    while (position.step_in_epoch < steps_per_epoch) {
      step();
      const bool epoch_done = position.step_in_epoch == steps_per_epoch;  // its checkpoint comes after validation
      const bool due = train.checkpoint_every_steps > 0 && position.step % train.checkpoint_every_steps == 0;
      if (!epoch_done && (due || interrupted())) save_last();
      if (!epoch_done && interrupted()) stop();
    }
    optimizer.zero_grad();
  }

  bool improves(const Metrics& metrics) const {
    if (position.best.empty()) return true;
    const double now = metrics.at(task.best_metric()), then = position.best.at(task.best_metric());
    return task.higher_is_better() ? now > then : now < then;
  }

  void end_epoch() {
    const Clock::time_point began = Clock::now();
    module.eval();
    const Metrics metrics = task.validate(module);
    for (const auto& [name, value] : metrics)
      if (!std::isfinite(value)) diverged(fmt::format("validation {} is {}", name, value));
    const double validation_seconds = seconds_since(began);
    TrainProgress report = progress();
    report.epoch_ended = true;
    report.metrics = metrics;
    report.best = improves(metrics);
    Weights weights = module.to_weights();
    check_finite(weights);

    position.last = metrics;
    position.last_loss = position.loss.value();
    position.loss = {};
    position.step_in_epoch = 0;
    ++position.epoch;
    if (report.best) {
      position.best = metrics;
      position.best_epoch = position.epoch;
    }
    log->add({{"kind", "epoch"}, {"step", position.step}, {"epoch", position.epoch}, {"loss", position.last_loss},
              {"learning_rate", report.learning_rate}, {"images_per_second", report.images_per_second},
              {"seconds", epoch_seconds + validation_seconds}, {"validation", metrics}, {"best", report.best}});
    EventFile::Scalars scalars = {{"epoch/loss", position.last_loss}, {"epoch/images_per_second", report.images_per_second}};
    for (const auto& [name, value] : metrics) scalars.emplace_back("validation/" + name, value);
    events->add(position.step, scalars);
    if (report.best) write_checkpoint(best_path, {weights, {}, {}});
    save_last(std::move(weights));
    if (hooks.progress) hooks.progress(report);
  }

  [[noreturn]] void stop() const {
    throw Interrupted("train", fmt::format("stopped after step {} of {}, {} is written", position.step, schedule.total_steps(),
                                           last_path.string()),
                      fmt::format("it goes on from there with: micromind train {} --resume", options.folder.string()));
  }

  TrainResult run() {
    const Clock::time_point began = Clock::now();
    set_compute_threads(train.threads);
    start();
    while (position.epoch < train.epochs) {
      run_steps();
      end_epoch();
      if (interrupted() && position.epoch < train.epochs) stop();
    }
    module.eval();
    return {.steps = position.step, .epochs = position.epoch, .loss = position.last_loss, .last = position.last, .best = position.best,
            .best_epoch = position.best_epoch, .images_per_second = images_per_second(), .seconds = seconds_since(began)};
  }
};

Trainer::Trainer(Task& task, GraphModule& module, TrainerOptions options) {
  guard_torch("train", [&] { impl_ = std::make_unique<Impl>(task, module, std::move(options)); });
}

Trainer::~Trainer() = default;

TrainResult Trainer::run() {
  return guard_torch("train", [&] { return impl_->run(); });
}

}  // namespace micromind
