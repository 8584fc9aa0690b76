#include "micromind/train/trainer.h"

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/text.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/train/best_checkpoints.h"
#include "micromind/train/compute.h"
#include "micromind/train/distributed/ranks.h"
#include "micromind/train/distributed/reducer.h"
#include "micromind/train/early_stop.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/parameter_groups.h"
#include "micromind/train/run_log.h"
#include "micromind/train/run_position.h"
#include "micromind/train/schedule.h"
#include "micromind/train/torch_error.h"
#include "micromind/train/weight_average.h"

namespace micromind {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

GraphModule& frozen(GraphModule& module, const TrainSection& train) {
  module.freeze(train.freeze);
  return module;
}

}  // namespace

struct Trainer::Impl {
  Task& task;
  GraphModule& module;
  TrainerOptions options;
  const TrainSection& train;
  const TrainHooks& hooks;
  std::int64_t batches_per_epoch, steps_per_epoch;
  Schedule schedule;
  Optimizer optimizer;
  Ranks* ranks;  // nullptr: this process alone
  std::optional<GradientReducer> reducer;
  bool rank_interrupted = false;  // any of them, as of the last step
  std::optional<WeightAverage> average;
  std::filesystem::path last_path;
  RunPosition position;
  std::vector<std::unique_ptr<TrainCallback>> own_callbacks;
  std::vector<TrainCallback*> callbacks;
  // Of the step that was done last.
  double learning_rate = 0;
  // Speed of the epoch under way; validation and checkpoints do not count.
  double epoch_seconds = 0, validation_seconds = 0, waited_before = 0;
  std::int64_t epoch_images = 0;

  Impl(Task& t, GraphModule& m, TrainerOptions o)
      : task(t),
        module(frozen(m, o.train)),
        options(std::move(o)),
        train(options.train),
        hooks(options.hooks),
        batches_per_epoch(checked_batches()),
        steps_per_epoch((batches_per_epoch + train.accumulate - 1) / train.accumulate),
        schedule(train, steps_per_epoch),
        optimizer(train, optimizer_parameters(m, train)),
        ranks(hooks.ranks),
        last_path(options.folder / "checkpoints" / "last.pt") {
    check();
    if (ranks != nullptr) {
      for (const at::Tensor& tensor : module.tensors()) ranks->share(tensor.detach());
      reducer.emplace(*ranks, module.trainable());
    }
    if (train.ema_decay > 0) average.emplace(module, train.ema_decay);
    make_callbacks();
  }

  std::int64_t checked_batches() const {
    if (train.accumulate < 1) fail("recipe", "train.accumulate = {}: expected at least 1", train.accumulate);
    const std::int64_t batches = task.steps_per_epoch();
    if (batches < 1)
      fail_with_hint("train", "lower train.batch_size or use more data", "an epoch has no full batch of {}", train.batch_size);
    return batches;
  }

  void check() const {
    const auto natural = [](const char* key, std::int64_t value) {
      if (value < 0) fail("recipe", "train.{} = {}: expected at least 0", key, value);
    };
    natural("checkpoint_every_steps", train.checkpoint_every_steps);
    natural("validate_every_epochs", train.validate_every_epochs);
    natural("validate_every_steps", train.validate_every_steps);
    natural("early_stop", train.early_stop);
    if (train.keep_best < 1) fail("recipe", "train.keep_best = {}: expected at least 1", train.keep_best);
    if (!(train.ema_decay >= 0 && train.ema_decay < 1)) fail("recipe", "train.ema_decay = {}: expected a number in [0, 1)", train.ema_decay);
    if (!validates() && (train.early_stop > 0 || train.schedule == "plateau"))
      fail("recipe", "{} needs validation, and nothing is validated", train.early_stop > 0 ? "train.early_stop" : "train.schedule = plateau");
    if (hooks.log_every_steps < 1) fail("train", "log_every_steps = {}: expected at least 1", hooks.log_every_steps);
  }

  bool validates() const { return task.validates() && (train.validate_every_epochs > 0 || train.validate_every_steps > 0); }

  bool writes() const { return ranks == nullptr || ranks->first(); }
  bool stop_asked() const { return ranks == nullptr ? interrupted() : rank_interrupted; }

  void make_callbacks() {
    if (writes()) {
      own_callbacks.push_back(std::make_unique<BestCheckpoints>(BestCheckpoints::Options{
          .folder = last_path.parent_path(), .keep = train.keep_best, .validates = validates(), .metric = task.best_metric(),
          .higher_is_better = task.higher_is_better()}));
      own_callbacks.push_back(std::make_unique<LogWriter>(options.folder, hooks.log_every_steps, hooks.resume));
    }
    if (train.early_stop > 0) own_callbacks.push_back(std::make_unique<EarlyStop>(train.early_stop));
    for (const auto& own : own_callbacks) callbacks.push_back(own.get());
    callbacks.insert(callbacks.end(), hooks.callbacks.begin(), hooks.callbacks.end());
    std::set<std::string> names;
    for (const TrainCallback* callback : callbacks)
      if (const std::string name = callback->name(); !name.empty() && !names.insert(name).second)
        fail("train", "two callbacks have the name '{}'", name);
  }

  double images_per_second() const { return epoch_seconds > 0 ? static_cast<double>(epoch_images) / epoch_seconds : 0; }
  WeightAverage* average_or_null() { return average ? &*average : nullptr; }

  // --- checkpoints -----------------------------------------------------------------------------------------

  /// What must be the same when a run is resumed, or its batches and its optimiser's state mean something else.
  nlohmann::json identity() const {
    return {{"seed", options.seed}, {"batch_size", train.batch_size}, {"accumulate", train.accumulate}, {"optimizer", train.optimizer},
            {"schedule", train.schedule}, {"steps_per_epoch", steps_per_epoch}, {"freeze", train.freeze}, {"average", average.has_value()}};
  }

  void check_finite(const Weights& weights) const {
    for (const auto& [name, array] : weights)
      for (const float v : array.values<float>())
        if (!std::isfinite(v)) diverged(fmt::format("{} holds {}", name, v));
  }

  nlohmann::json state() const {
    nlohmann::json json = {{"identity", identity()}, {"position", to_json(position)}, {"optimizer_steps", optimizer.steps()},
                           {"schedule", schedule.state()}, {"callbacks", nlohmann::json::object()}};
    for (const TrainCallback* callback : callbacks)
      if (!callback->name().empty()) json["callbacks"][callback->name()] = callback->state();
    if (const MetricSet* metrics = task.training_metrics()) json["training_metrics"] = metrics->state();
    return json;
  }

  void save_last() {
    Weights weights = module.to_weights();
    check_finite(weights);
    if (!writes()) return;
    write_checkpoint(last_path, {std::move(weights), optimizer.state(), state().dump(), average ? average->state() : Weights{}});
  }

  void check_identity(const nlohmann::json& then) const {
    const nlohmann::json now = identity();
    for (const auto& [key, value] : now.items())
      if (then.at(key) != value)
        fail_with_hint("checkpoint", "resume with the recipe of the run, or train anew without --resume",
                       "{} was written with {} = {}, now it is {}", last_path.string(), key, then.at(key).dump(), value.dump());
  }

  void load_state(const nlohmann::json& json) {
    position = run_position_from(json.at("position"), steps_per_epoch);
    schedule.load_state(json.at("schedule"));
    for (TrainCallback* callback : callbacks)
      if (const auto found = json.at("callbacks").find(callback->name()); found != json.at("callbacks").end()) callback->load_state(*found);
    if (MetricSet* metrics = task.training_metrics())
      metrics->load(json.at("training_metrics").get<std::map<std::string, std::vector<double>>>());
  }

  void resume(const Checkpoint& checkpoint) {
    if (checkpoint.state.empty())
      fail_with_hint("checkpoint", "it holds weights alone; resume from last.pt", "{} tells no position", last_path.string());
    try {
      const nlohmann::json json = nlohmann::json::parse(checkpoint.state);
      check_identity(json.at("identity"));
      const auto optimizer_steps = json.at("optimizer_steps").get<std::int64_t>();
      module.load(checkpoint.weights);
      optimizer.load_state(checkpoint.optimizer, optimizer_steps);
      if (average) average->load_state(checkpoint.average);
      load_state(json);
    } catch (const nlohmann::json::exception& e) {
      fail("checkpoint", "{}: the trainer's state is damaged: {}", last_path.string(), without_tag(e.what()));
    }
  }

  void start() {
    std::error_code ignored;
    Bytes bytes;  // of the checkpoint; the first process has it
    if (writes() && hooks.resume && std::filesystem::exists(last_path, ignored)) bytes = read_bytes(last_path);
    if (ranks != nullptr) bytes = ranks->share(bytes);
    if (!bytes.empty()) resume(parse_checkpoint(std::move(bytes), last_path.string()));
    else if (writes() && !hooks.resume) std::filesystem::remove(last_path, ignored);
    TrainEvent event{progress()};
    call(&TrainCallback::on_start, event);
  }

  // --- what watches ----------------------------------------------------------------------------------------

  [[noreturn]] void diverged(const std::string& what) const {
    const std::string kept = std::filesystem::exists(last_path) ? "the last good checkpoint is kept in " + last_path.string()
                                                                : "no checkpoint had been written yet";
    fail_with_hint("train", fmt::format("{}; try a lower train.learning_rate (now {}) or train.clip_norm", kept, train.learning_rate),
                   "training diverged at step {} (epoch {}): {}", position.step + 1, position.epoch + 1, what);
  }

  void call(void (TrainCallback::*what)(TrainEvent&), TrainEvent& event) {
    for (TrainCallback* callback : callbacks) (callback->*what)(event);
    position.stopped = position.stopped || event.stop;
  }

  void pass_notes() {
    for (const std::string& line : task.take_notes())
      if (hooks.note) hooks.note(line);
  }

  TrainProgress progress() const {
    const double speed = images_per_second();
    const double images_left =
        static_cast<double>((schedule.total_steps() - position.step) * train.batch_size * std::min(train.accumulate, batches_per_epoch) *
                            (ranks == nullptr ? 1 : ranks->size()));
    return {.epoch = std::min(position.epoch + 1, train.epochs), .epochs = train.epochs, .step = position.step, .total_steps = schedule.total_steps(),
            .loss = position.loss.value(), .learning_rate = learning_rate, .images_per_second = speed,
            .eta_seconds = speed > 0 ? images_left / speed : 0};
  }

  // --- steps and epochs ------------------------------------------------------------------------------------

  // The gradients of a step's batches, summed up with their images as weights (none where there is one batch), and what to
  // multiply them by for the mean; the mean loss.
  struct Gradients {
    double factor = 1, loss = 0;
    std::int64_t images = 0;
  };

  Gradients backward() {
    const std::int64_t first = position.step_in_epoch * train.accumulate;
    const std::int64_t count = std::min(train.accumulate, batches_per_epoch - first);
    RunningMean mean;
    optimizer.zero_grad();
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t images = 0;
      module.set_step(static_cast<std::uint64_t>(position.epoch * batches_per_epoch + first + i));
      at::Tensor loss = task.next_loss(module, images);
      const auto value = loss.item<double>();
      if (!std::isfinite(value)) diverged(fmt::format("the loss is {}", value));
      mean.add(value, static_cast<double>(images));
      if (count > 1) loss = loss.mul(static_cast<double>(images));
      if (reducer && i + 1 == count) reducer->expect();
      loss.backward();
    }
    const double factor = count > 1 ? 1 / mean.weight : 1;
    if (reducer) {
      const auto sums = reducer->finish({mean.sum, mean.weight, interrupted() ? 1.0 : 0.0});
      mean = {sums[0], sums[1]};
      rank_interrupted = sums[2] > 0;
    }
    return {factor, mean.value(), static_cast<std::int64_t>(mean.weight)};
  }

  /// backward(); when it loses a rank, statistics and metrics are as before it, so that what is saved then resumes exactly.
  Gradients backward_or_undo() {
    std::vector<std::pair<at::Tensor, at::Tensor>> statistics;
    for (const at::Tensor& tensor : module.tensors())
      if (!tensor.requires_grad()) statistics.emplace_back(tensor, tensor.clone());
    MetricSet* const metrics = task.training_metrics();
    const auto counts = metrics != nullptr ? metrics->state() : decltype(metrics->state()){};
    try {
      return backward();
    } catch (const RankLost&) {
      for (const auto& [tensor, before] : statistics) tensor.copy_(before);
      if (metrics != nullptr) metrics->load(counts);
      throw;
    }
  }

  void step() {
    const Clock::time_point began = Clock::now();
    learning_rate = schedule.at(position.step);
    const Gradients gradients = ranks == nullptr ? backward() : backward_or_undo();
    const double norm = gradients.factor * optimizer.gradient_norm();
    if (!std::isfinite(norm)) diverged(fmt::format("the gradient's norm is {}", norm));
    optimizer.step(learning_rate, gradients.factor * optimizer.clip_factor(norm));
    if (average) average->update(position.step);
    ++position.step;
    ++position.step_in_epoch;
    position.loss.add(gradients.loss, static_cast<double>(gradients.images));
    epoch_seconds += seconds_since(began);
    epoch_images += gradients.images;
    TrainEvent event{.progress = progress(), .step_loss = gradients.loss, .gradient_norm = norm};
    call(&TrainCallback::on_step, event);
    pass_notes();
    if (hooks.progress) hooks.progress(event.progress);
    if (hooks.after_step) hooks.after_step(position.step);
  }

  bool improves(double now) const {
    if (position.best.empty()) return true;
    const double then = position.best.at(task.best_metric());
    return task.higher_is_better() ? now > then : now < then;
  }

  Metrics checked_metrics() {
    Metrics metrics = task.validate(module);
    pass_notes();
    if (writes())
      for (const auto& [name, value] : metrics)
        if (!std::isfinite(value)) diverged(fmt::format("validation {} is {}", name, value));
    if (ranks != nullptr) {  // batch norm's statistics are each rank's own; those of the first one are kept
      const std::string text = nlohmann::json(metrics).dump();
      const Bytes shared = ranks->share(Bytes(text.begin(), text.end()));
      metrics = nlohmann::json::parse(shared.begin(), shared.end()).get<Metrics>();
    }
    if (!metrics.contains(task.best_metric())) fail("train", "validation gave no '{}', which decides what is best", task.best_metric());
    return metrics;
  }

  /// Calls f(event) while the module has the weights that are validated, in eval mode.
  template <class F>
  void with_validated_weights(TrainEvent& event, F&& f) {
    std::optional<Weights> weights;
    event.weights = [&]() -> const Weights& {
      if (!weights) check_finite(weights.emplace(module.to_weights()));
      return *weights;
    };
    {
      const WeightAverage::Use use(average_or_null());
      module.eval();
      f();
    }
    event.weights = {};
  }

  // The event ends with the metrics; its weights are gone.
  void validate(TrainEvent& event) {
    const Clock::time_point began = Clock::now();
    with_validated_weights(event, [&] {
      event.progress.metrics = checked_metrics();
      event.progress.best = improves(event.progress.metrics.at(task.best_metric()));
      position.last = event.progress.metrics;
      if (event.progress.best) {
        position.best = event.progress.metrics;
        position.best_epoch = position.epoch + 1;
        position.best_step = position.step;
      }
      schedule.validated(position.step, event.progress.best);
      validation_seconds += seconds_since(began);
      call(&TrainCallback::on_validation, event);
    });
  }

  bool due(std::int64_t every, std::int64_t done) const { return every > 0 && done % every == 0; }

  // After a step that does not end its epoch: validation and a checkpoint where they are due. Throws Interrupted.
  void between_steps() {
    const bool validated = validates() && due(train.validate_every_steps, position.step);
    if (validated) {
      TrainEvent event{progress()};
      validate(event);
      module.train();
      if (hooks.progress) hooks.progress(event.progress);
    }
    const bool stop_now = stop_asked();
    if (validated || stop_now || position.stopped || due(train.checkpoint_every_steps, position.step)) save_last();
    if (stop_now) stop();
  }

  /// What is left of the epoch's steps; false when a callback has stopped the run before its end.
  bool run_steps() {
    module.train();
    if (position.step_in_epoch == 0)
      if (MetricSet* metrics = task.training_metrics()) metrics->reset();
    task.start_epoch(position.epoch, position.step_in_epoch * train.accumulate);
    epoch_seconds = validation_seconds = 0;
    epoch_images = 0;
    waited_before = task.waited_seconds();
    while (position.step_in_epoch < steps_per_epoch) {
      step();
      if (position.step_in_epoch == steps_per_epoch) break;  // its checkpoint comes after validation
      between_steps();
      if (position.stopped) return false;
    }
    optimizer.zero_grad();
    return true;
  }

  void end_epoch() {
    const std::int64_t epoch = position.epoch + 1;
    TrainEvent event{progress()};
    event.progress.epoch_ended = true;
    if (const MetricSet* metrics = task.training_metrics()) event.progress.train_metrics = metrics->values();
    if (validates() && (epoch == train.epochs || due(train.validate_every_epochs, epoch) || due(train.validate_every_steps, position.step)))
      validate(event);
    event.seconds = epoch_seconds + validation_seconds;
    event.waited_seconds = task.waited_seconds() - waited_before;
    event.damaged_images = task.damaged_images();
    position.last_loss = position.loss.value();
    position.loss = {};
    position.step_in_epoch = 0;
    position.epoch = epoch;
    with_validated_weights(event, [&] { call(&TrainCallback::on_epoch, event); });
    save_last();
    if (hooks.progress) hooks.progress(event.progress);
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
    try {
      while (position.epoch < train.epochs && !position.stopped) {
        if (!run_steps()) break;
        end_epoch();
        if (stop_asked() && position.epoch < train.epochs && !position.stopped) stop();
      }
    } catch (const RankLost& lost) {
      if (!writes()) throw;
      save_last();
      throw RankLost(lost.where(), lost.message(),
                     fmt::format("{}. {} holds all that was trained, up to step {}: the same command with --resume goes on", lost.hint(), last_path.string(), position.step));
    }
    TrainEvent event{progress()};
    with_validated_weights(event, [&] { call(&TrainCallback::on_end, event); });
    if (average) average->copy_to_module();
    module.eval();
    return {.steps = position.step, .epochs = position.epoch, .loss = position.last_loss, .last = position.last, .best = position.best,
            .best_epoch = position.best_epoch, .best_step = position.best_step, .stopped_early = position.stopped,
            .images_per_second = images_per_second(), .seconds = seconds_since(began)};
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
