#include "micromind/tasks/classification.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "micromind/base/error.h"
#include "micromind/data/loader.h"
#include "micromind/networks/registry.h"
#include "micromind/tasks/teacher.h"
#include "micromind/train/compute.h"
#include "micromind/train/distributed/ranks.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/loss.h"
#include "micromind/train/torch_error.h"

namespace micromind {
namespace {

// [N, C, H, W] over the batch's memory, which must outlive the tensor and its gradients.
at::Tensor image_tensor(Batch& batch, bool channels_last) {
  const std::int64_t n = batch.size, c = batch.channels, h = batch.height, w = batch.width;
  const std::vector<std::int64_t> sizes = {n, c, h, w};
  const std::vector<std::int64_t> strides = channels_last ? std::vector<std::int64_t>{h * w * c, 1, w * c, c}
                                                          : std::vector<std::int64_t>{c * h * w, h * w, w, 1};
  return at::from_blob(batch.images.data(), sizes, strides, at::kFloat);
}

LoaderOptions loader_options(const Recipe& recipe, const Graph& graph) {
  return {.batch_size = recipe.train.batch_size, .threads = recipe.train.loader_threads, .seed = recipe.run.seed,
          .on_damage = OnDamage::leave_out, .damaged_share = recipe.data.damaged_share,
          .normalization = input_normalization(recipe, graph), .channels_last = recipe.train.channels_last};
}

AugmentOptions augment_options(const AugmentSection& a) {
  const auto f = [](double value) { return static_cast<float>(value); };
  return {.horizontal_flip = a.horizontal_flip, .crop_padding = a.crop_padding, .rotation_degrees = f(a.rotation_degrees), .zoom = f(a.zoom),
          .brightness = f(a.brightness), .contrast = f(a.contrast), .saturation = f(a.saturation), .erase_probability = f(a.erase_probability),
          .randaugment = static_cast<int>(a.randaugment), .randaugment_magnitude = f(a.randaugment_magnitude)};
}

LoaderOptions training_options(const Recipe& recipe, const Dataset& dataset, const Graph& graph, const Ranks* ranks) {
  LoaderOptions options = loader_options(recipe, graph);
  options.shuffle = true;
  if (ranks != nullptr) {
    options.rank = ranks->rank();
    options.world_size = ranks->size();
  }
  options.drop_last = dataset.size() >= recipe.train.batch_size * options.world_size;  // a set smaller than a batch trains whole
  options.on_damage = OnDamage::replace;
  options.augment = augment_options(recipe.augment);
  options.mix = {.mixup = recipe.augment.mixup, .cutmix = recipe.augment.cutmix, .probability = recipe.augment.mix_probability};
  options.mix_epochs = static_cast<int>(recipe.train.epochs - recipe.augment.plain_epochs);
  return options;
}

// logits [N, classes]
template <class Meter>
void add_scores(Meter& meter, const at::Tensor& logits, std::span<const std::int64_t> labels) {
  const at::Tensor rows = logits.detach().to(at::kCPU, at::kFloat).contiguous();
  const auto classes = static_cast<std::size_t>(rows.size(1));
  const float* scores = rows.data_ptr<float>();
  for (std::size_t i = 0; i < labels.size(); ++i, scores += classes) meter.add({scores, classes}, labels[i]);
}

ClassificationResult evaluate(GraphModule& module, Loader& loader, int classes) {
  const c10::NoGradGuard no_grad;
  module.eval();
  ClassificationMeter meter(classes);
  Batch batch;
  for (loader.start_epoch(0); loader.next(batch);)
    add_scores(meter, module.forward(image_tensor(batch, module.options().channels_last)), batch.labels);
  return meter.result();
}

int output_classes(const Graph& graph) { return graph.shape(graph.outputs()[0].value)[0]; }

std::unique_ptr<Dataset> open_checked(const Recipe& recipe, const Graph& graph, DataSplit split) {
  std::unique_ptr<Dataset> dataset = open_dataset(dataset_options(recipe, split));
  check_classifier(graph, *dataset);
  return dataset;
}

// A class without a training image cannot be learnt: an Error, unless a limit below the number of classes asked for it.
std::string check_every_class(const Dataset& dataset, std::int64_t limit) {
  const std::vector<std::int64_t> counts = class_counts(dataset);
  std::vector<std::string> missing;
  for (std::size_t c = 0; c < counts.size(); ++c)
    if (counts[c] == 0) missing.push_back(fmt::format("'{}'", dataset.class_names()[c]));
  if (missing.empty()) return "";
  const std::size_t count = missing.size();
  if (count > 5) missing.resize(5);
  const std::string text = fmt::format("{} of {} classes have no training image: {}{}", count, counts.size(), fmt::join(missing, ", "),
                                       count > 5 ? ", …" : "");
  if (limit > 0 && limit < std::ssize(counts)) return fmt::format("{} (data.train_limit = {})", text, limit);
  fail_with_hint("data", "add images of them, or remove the classes", "{} ({})", text, dataset.describe());
}

at::Tensor label_tensor(std::vector<std::int64_t>& labels) { return at::from_blob(labels.data(), {std::ssize(labels)}, at::kLong); }

bool wants_validation(const TrainSection& train) { return train.validate_every_epochs > 0 || train.validate_every_steps > 0; }

class ClassificationTask : public Task {
 public:
  ClassificationTask(const Recipe& recipe, const Graph& graph, const Ranks* ranks = nullptr)
      : smoothing_(recipe.train.label_smoothing),
        loss_(loss_from(recipe.train.loss)),
        distill_(recipe.distill),
        classes_(output_classes(graph)),
        train_(open_checked(recipe, graph, DataSplit::train)),
        validation_(wants_validation(recipe.train) ? open_checked(recipe, graph, DataSplit::validation) : nullptr),
        train_loader_(*train_, training_options(recipe, *train_, graph, ranks)),
        training_metrics_({"top1"}, train_->class_names()) {
    if (validation_) validation_loader_.emplace(*validation_, loader_options(recipe, graph));
    if (!(smoothing_ >= 0 && smoothing_ < 1))
      fail("recipe", "train.label_smoothing = {}: expected a number in [0, 1)", smoothing_);
    if (std::string note = check_every_class(*train_, recipe.data.train_limit); !note.empty()) notes_.push_back(std::move(note));
    if (!distill_.teacher.empty() && distill_.weight > 0) teacher_.emplace(recipe, graph, train_->class_names());
  }

  std::int64_t steps_per_epoch() const override { return train_loader_.batches_per_epoch(); }

  void start_epoch(std::int64_t epoch, std::int64_t first_step) override {
    train_loader_.start_epoch(static_cast<int>(epoch), first_step);
  }

  at::Tensor next_loss(GraphModule& module, std::int64_t& images) override {
    if (!train_loader_.next(batch_)) fail("train", "the training data ended before the epoch did");
    note_damage(train_loader_, "training image, replaced by another one");
    if (batch_.index_in_epoch + 1 == steps_per_epoch() && train_loader_.damaged_in_epoch() > 0)
      notes_.push_back(fmt::format("{} training images of this epoch could not be read; others took their places", train_loader_.damaged_in_epoch()));
    images = batch_.size;
    const at::Tensor input = image_tensor(batch_, module.options().channels_last);
    const at::Tensor logits = module.forward(input);
    add_scores(training_metrics_, logits, dominant_labels());
    const at::Tensor loss = classification_loss(loss_, logits, targets(), smoothing_);
    if (!teacher_) return loss;
    return loss * (1 - distill_.weight) + distillation_loss(logits, teacher_->logits(input), distill_.temperature) * distill_.weight;
  }

  MetricSet* training_metrics() override { return &training_metrics_; }

  bool validates() const override { return validation_ != nullptr; }
  Metrics validate(GraphModule& module) override {
    const ClassificationResult r = evaluate(module, *validation_loader_, classes_);
    note_damage(*validation_loader_, "validation image, left out");
    return {{"top1", r.top1}, {"top5", r.top5}, {"loss", r.loss}};
  }

  std::string best_metric() const override { return "top1"; }
  double waited_seconds() const override { return train_loader_.waited_seconds(); }
  std::int64_t damaged_images() const override { return train_loader_.damaged_in_epoch(); }
  std::vector<std::string> take_notes() override { return std::exchange(notes_, {}); }

 private:
  at::Tensor targets() {
    const at::Tensor labels = label_tensor(batch_.labels);
    if (batch_.weights.empty()) return labels;
    return soft_targets(labels, label_tensor(batch_.other_labels), at::from_blob(batch_.weights.data(), {batch_.size}, at::kFloat), classes_);
  }

  // What most of each image shows; where nothing is mixed, its label.
  std::vector<std::int64_t> dominant_labels() const {
    std::vector<std::int64_t> labels = batch_.labels;
    for (std::size_t i = 0; i < batch_.weights.size(); ++i)
      if (batch_.weights[i] < 0.5f) labels[i] = batch_.other_labels[i];
    return labels;
  }

  void note_damage(Loader& loader, std::string_view what) {
    for (const DamagedImage& image : loader.take_damaged()) notes_.push_back(fmt::format("{}: {}", what, image.reason));
  }

  double smoothing_;
  Loss loss_;
  DistillSection distill_;
  int classes_;
  std::unique_ptr<Dataset> train_, validation_;
  Loader train_loader_;
  std::optional<Loader> validation_loader_;
  ClassificationMetrics training_metrics_;
  std::optional<Teacher> teacher_;
  Batch batch_;
  std::vector<std::string> notes_;
};

GraphModuleOptions module_options(const Recipe& recipe, const Ranks* ranks = nullptr) {
  std::string device = recipe.train.device;
  if (ranks != nullptr && device == "cuda") device = fmt::format("cuda:{}", ranks->local_rank());
  return {.seed = recipe.run.seed, .channels_last = recipe.train.channels_last, .device = device,
          .bfloat16 = recipe.train.precision == "bfloat16"};
}

// What must be the same on all ranks: everything but where the data lie and how many threads work.
std::string what_ranks_share(Recipe recipe, const Graph& graph) {
  recipe.run.name.clear();
  recipe.data.folder.clear();
  recipe.train.threads = recipe.train.loader_threads = 0;
  return to_toml(recipe) + to_json(graph).dump(1);
}

int share_of_cores(const Ranks& ranks) { return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ranks.local_size()); }

}  // namespace

Pretrained recipe_initial_weights(const Recipe& recipe, const Graph& graph) {
  if (recipe.train.initial.empty()) return {};
  return load_initial_weights(graph, {.path = recipe.train.initial, .except = recipe.train.initial_except,
                                      .other_names = {reference_names(graph, recipe.network.family)}});
}

DatasetOptions dataset_options(const Recipe& recipe, DataSplit split) {
  const DataSection& data = recipe.data;
  const bool from_test_files = split == DataSplit::test || (split == DataSplit::validation && data.validation_share == 0);
  const std::int64_t limit = split == DataSplit::train ? data.train_limit : from_test_files ? data.test_limit : 0;
  return {.name = data.name,
          .folder = data.folder,
          .split = split,
          .validation_share = data.validation_share,
          .limit = limit,
          .image_size = data.image_size,
          .channels = data.name == "folder" ? data.channels : 0,
          .seed = recipe.run.seed};
}

Normalization input_normalization(const Recipe& recipe, const Graph& graph) {
  const int channels = graph.shape(graph.inputs()[0].value).channels();
  const DataSection& data = recipe.data;
  if (data.mean.empty() && data.deviation.empty()) return known_normalization(data.name, channels);
  Normalization n;
  n.mean.assign(data.mean.begin(), data.mean.end());
  n.deviation.assign(data.deviation.begin(), data.deviation.end());
  n.validate(channels);
  return n;
}

void check_classifier(const Graph& graph, const Dataset& dataset) {
  if (graph.inputs().size() != 1 || graph.outputs().size() != 1)
    fail("classification", "the network '{}' has {} inputs and {} outputs; a classifier has one of each", graph.name,
         graph.inputs().size(), graph.outputs().size());
  const Shape& in = graph.shape(graph.inputs()[0].value);
  const Shape& out = graph.shape(graph.outputs()[0].value);
  const auto classes = static_cast<std::int64_t>(dataset.class_names().size());
  if (out.rank() != 1 || out[0] != classes)
    fail_with_hint("classification", fmt::format("give the network {} classes", classes),
                   "the network '{}' gives {} scores, the data have {} classes ({})", graph.name, to_string(out), classes,
                   dataset.describe());
  const Image image = first_image(dataset);
  if (in != Shape{image.channels, image.height, image.width})
    fail_with_hint("classification", "give the network the shape of the data, or set data.image_size and data.channels (folders)",
                   "the network '{}' takes {}, the data are {}×{}×{} ({})", graph.name, to_string(in), image.channels,
                   image.height, image.width, dataset.describe());
}

std::unique_ptr<Task> classification_task(const Recipe& recipe, const Graph& graph) {
  return guard_torch("train", [&] { return std::make_unique<ClassificationTask>(recipe, graph); });
}

TrainResult train_classification(const Recipe& given, const Graph& graph, const std::filesystem::path& run_folder,
                                 const TrainHooks& hooks) {
  return guard_torch("train", [&] {
    Recipe recipe = given;
    if (hooks.ranks != nullptr) {
      hooks.ranks->check_same("recipe", what_ranks_share(recipe, graph));
      if (recipe.train.threads == 0) recipe.train.threads = share_of_cores(*hooks.ranks);
    }
    set_compute_threads(recipe.train.threads);
    ClassificationTask task(recipe, graph, hooks.ranks);
    GraphModule module(graph, module_options(recipe, hooks.ranks));
    if (hooks.ranks != nullptr) module.join(*hooks.ranks, recipe.train.sync_batch_norm);
    std::error_code ignored;
    const bool reads = hooks.ranks == nullptr || hooks.ranks->first();  // the others get the first one's weights
    if (reads && !recipe.train.initial.empty() && !(hooks.resume && std::filesystem::exists(run_folder / "checkpoints/last.pt", ignored))) {
      Weights weights = module.to_weights();
      for (const auto& [name, array] : recipe_initial_weights(recipe, graph).weights) weights[name] = array;
      module.load(weights);
    }
    return Trainer(task, module, {recipe.train, recipe.run.seed, run_folder, hooks}).run();
  });
}

TrainResult train_classification(const Recipe& recipe, GraphModule& module, const std::filesystem::path& run_folder,
                                 const TrainHooks& hooks) {
  return guard_torch("train", [&] {
    set_compute_threads(recipe.train.threads);
    ClassificationTask task(recipe, module.graph());
    return Trainer(task, module, {recipe.train, recipe.run.seed, run_folder, hooks}).run();
  });
}

ClassificationResult evaluate_classification(const Recipe& recipe, const Graph& graph, const Weights& weights, DataSplit split) {
  return guard_torch("evaluate", [&] {
    set_compute_threads(recipe.train.threads);
    const std::unique_ptr<Dataset> dataset = open_checked(recipe, graph, split);
    GraphModule module(graph, module_options(recipe));
    module.load(weights);
    Loader loader(*dataset, loader_options(recipe, graph));
    return evaluate(module, loader, output_classes(graph));
  });
}

}  // namespace micromind
