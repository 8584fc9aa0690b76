#include "micromind/tasks/classification.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include "micromind/base/error.h"
#include "micromind/data/loader.h"
#include "micromind/train/compute.h"
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
          .normalization = input_normalization(recipe, graph), .channels_last = recipe.train.channels_last};
}

LoaderOptions training_options(const Recipe& recipe, const Dataset& dataset, const Graph& graph) {
  LoaderOptions options = loader_options(recipe, graph);
  options.shuffle = true;
  options.drop_last = dataset.size() >= recipe.train.batch_size;  // a set smaller than a batch trains whole
  options.augment.horizontal_flip = recipe.data.horizontal_flip;
  options.augment.crop_padding = recipe.data.crop_padding;
  return options;
}

ClassificationResult evaluate(GraphModule& module, Loader& loader, int classes) {
  const c10::NoGradGuard no_grad;
  module.eval();
  ClassificationMeter meter(classes);
  Batch batch;
  for (loader.start_epoch(0); loader.next(batch);) {
    const at::Tensor logits = module.forward(image_tensor(batch, module.options().channels_last)).to(at::kCPU).contiguous();
    const float* scores = logits.data_ptr<float>();
    for (std::size_t i = 0; i < batch.labels.size(); ++i, scores += classes)
      meter.add({scores, static_cast<std::size_t>(classes)}, batch.labels[i]);
  }
  return meter.result();
}

int output_classes(const Graph& graph) { return graph.shape(graph.outputs()[0].value)[0]; }

std::unique_ptr<Dataset> open_checked(const Recipe& recipe, const Graph& graph, DataSplit split) {
  std::unique_ptr<Dataset> dataset = open_dataset(dataset_options(recipe, split));
  check_classifier(graph, *dataset);
  return dataset;
}

class ClassificationTask : public Task {
 public:
  ClassificationTask(const Recipe& recipe, const Graph& graph)
      : smoothing_(recipe.train.label_smoothing),
        classes_(output_classes(graph)),
        train_(open_checked(recipe, graph, DataSplit::train)),
        validation_(open_checked(recipe, graph, DataSplit::validation)),
        train_loader_(*train_, training_options(recipe, *train_, graph)),
        validation_loader_(*validation_, loader_options(recipe, graph)) {
    if (!(smoothing_ >= 0 && smoothing_ < 1))
      fail("recipe", "train.label_smoothing = {}: expected a number in [0, 1)", smoothing_);
  }

  std::int64_t steps_per_epoch() const override { return train_loader_.batches_per_epoch(); }

  void start_epoch(std::int64_t epoch, std::int64_t first_step) override {
    train_loader_.start_epoch(static_cast<int>(epoch), first_step);
  }

  at::Tensor next_loss(GraphModule& module, std::int64_t& images) override {
    if (!train_loader_.next(batch_)) fail("train", "the training data ended before the epoch did");
    images = batch_.size;
    const at::Tensor logits = module.forward(image_tensor(batch_, module.options().channels_last));
    const at::Tensor labels = at::from_blob(batch_.labels.data(), {batch_.size}, at::kLong);
    return cross_entropy(logits, labels.to(logits.device()), smoothing_);
  }

  Metrics validate(GraphModule& module) override {
    const ClassificationResult r = evaluate(module, validation_loader_, classes_);
    return {{"top1", r.top1}, {"top5", r.top5}, {"loss", r.loss}};
  }

  std::string best_metric() const override { return "top1"; }

 private:
  double smoothing_;
  int classes_;
  std::unique_ptr<Dataset> train_, validation_;
  Loader train_loader_, validation_loader_;
  Batch batch_;
};

GraphModuleOptions module_options(const Recipe& recipe) {
  return {.seed = recipe.run.seed, .channels_last = recipe.train.channels_last, .device = recipe.train.device};
}

}  // namespace

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
  const Image image = dataset.get(0).image;
  if (in != Shape{image.channels, image.height, image.width})
    fail_with_hint("classification", "give the network the shape of the data, or set data.image_size and data.channels (folders)",
                   "the network '{}' takes {}, the data are {}×{}×{} ({})", graph.name, to_string(in), image.channels,
                   image.height, image.width, dataset.describe());
}

TrainResult train_classification(const Recipe& recipe, const Graph& graph, const std::filesystem::path& run_folder,
                                 const TrainHooks& hooks) {
  return guard_torch("train", [&] {
    set_compute_threads(recipe.train.threads);
    ClassificationTask task(recipe, graph);
    GraphModule module(graph, module_options(recipe));
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
