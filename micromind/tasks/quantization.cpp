#include "micromind/tasks/quantization.h"

#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/reflect.h"
#include "micromind/data/hash.h"
#include "micromind/data/loader.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/formats/tflite.h"
#include "micromind/quantize/bias_correction.h"
#include "micromind/quantize/equalize.h"
#include "micromind/quantize/folded_network.h"
#include "micromind/quantize/quantize.h"
#include "micromind/tasks/classification.h"
#include "micromind/tasks/int8_evaluation.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/qat.h"

namespace micromind {
namespace {

using nlohmann::json;

CalibrationOptions calibration_options(const QuantizeSection& q) {
  return {.method = calibration_method_from(q.calibration), .percentile = q.percentile};
}

class Quantizing {
 public:
  Quantizing(const RunFolder& run, const StageHooks& hooks)
      : run_(run), recipe_(run.recipe()), hooks_(hooks), best_(run.need(run.checkpoints() / "best.pt", "train")) {
    network_ = fold_network(load_graph(run.need(run.network_file(), "train").string()), load_checkpoint(best_));
  }

  QuantizedRun run(bool qat) {
    if (qat) return train_on();
    const std::vector<Range> ranges = prepare();
    return {quantized(ranges), std::move(result_)};
  }

 private:
  void note(const std::string& line) const {
    if (interrupted()) throw Interrupted("quantize", "stopped");
    if (hooks_.note) hooks_.note(line);
  }

  // Training images as they come, without augmentation.
  std::unique_ptr<Dataset> calibration_images() const {
    DatasetOptions options = dataset_options(recipe_, DataSplit::train);
    options.limit = options.limit > 0 ? std::min(options.limit, recipe_.quantize.samples) : recipe_.quantize.samples;
    std::unique_ptr<Dataset> images = open_dataset(options);
    check_classifier(network_.graph, *images);
    return images;
  }

  // Runs the float network on them.
  void observe(const Dataset& images, const ValueObserver& observer) const {
    GraphModule module(network_.graph, {.seed = recipe_.run.seed, .device = recipe_.train.device});
    module.load(network_.weights);
    module.eval();
    module.observe_values(observer);
    Loader loader(images, {.batch_size = 32, .threads = recipe_.train.loader_threads, .on_damage = OnDamage::leave_out,
                           .damaged_share = recipe_.data.damaged_share,
                           .normalization = input_normalization(recipe_, network_.graph)});
    Batch batch;
    for (loader.start_epoch(0); loader.next(batch);) {
      if (interrupted()) throw Interrupted("quantize", "stopped");
      module.run(batch.images, batch.size);
    }
  }

  void equalize_channels(const Dataset& images) {
    const auto capped = [](const Node& n) {
      const auto* a = std::get_if<Activation>(&n.op);
      return a != nullptr && a->function == Function::relu6;
    };
    ChannelMaxima maxima(network_.graph);
    const auto& nodes = network_.graph.nodes();
    const bool measured = std::any_of(nodes.begin(), nodes.end(), capped);
    if (measured) observe(images, [&](int value, std::span<const float> numbers) { maxima.observe(value, numbers); });
    const Equalization e = equalize(network_, measured ? &maxima : nullptr);
    result_["equalized_pairs"] = e.pairs;
    note(e.pairs == 0 ? std::string("equalisation: no two layers with a homogeneous activation between them")
                      : fmt::format("equalised {} pairs of layers", e.pairs));
  }

  // Equalises and calibrates.
  std::vector<Range> prepare() {
    images_ = calibration_images();
    result_["samples"] = images_->size();
    result_["calibration"] = recipe_.quantize.calibration;
    if (recipe_.quantize.equalize) equalize_channels(*images_);
    note(fmt::format("calibrating ({}) on {} training images", recipe_.quantize.calibration, images_->size()));
    if (recipe_.quantize.correct_bias) correction_.emplace(network_);
    Calibrator calibrator(network_.graph.values().size());
    observe(*images_, [&](int value, std::span<const float> numbers) {
      calibrator.observe(value, numbers);
      if (correction_) correction_->observe(value, numbers);
    });
    return calibrator.ranges(calibration_options(recipe_.quantize));
  }

  // The int8 model without further training.
  Model quantized(const std::vector<Range>& ranges) {
    Model model = quantize(network_.graph, lower(network_.graph), network_.weights, ranges);
    if (correction_) {
      note("correcting biases");
      const auto inputs = int8_inputs(model, *images_, input_normalization(recipe_, network_.graph), images_->size());
      result_["bias_correction_steps"] = correction_->correct(model, inputs, recipe_.train.threads);
    }
    return model;
  }

  // --- quantisation-aware training -------------------------------------------------------------------------

  // What a training that was started must have been started from to go on.
  json origin() const {
    json section = members_to_json(recipe_.quantize);
    section["qat"] = true;
    return {{"weights", file_checksum(best_, HashKind::sha256)}, {"quantize", section}, {"seed", recipe_.run.seed}};
  }

  // Takes folded weights and ranges from start.pt where they are this run's.
  bool resume(std::vector<Range>& ranges) {
    const std::filesystem::path file = qat_folder(run_) / "start.pt";
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored) || !std::filesystem::exists(ptq_file(run_), ignored)) return false;
    Checkpoint start = read_checkpoint(file);
    const json state = json::parse(start.state, nullptr, false);
    if (state.is_discarded() || state.value("origin", json()) != origin()) return false;
    const Array& array = find(start.weights, "ranges");
    if (array.elements() != static_cast<std::int64_t>(2 * network_.graph.values().size())) return false;
    const auto numbers = array.values<float>();
    for (std::size_t v = 0; 2 * v < numbers.size(); ++v) ranges.push_back({numbers[2 * v], numbers[2 * v + 1]});
    start.weights.erase("ranges");
    network_.weights = std::move(start.weights);
    result_ = state.value("result", json::object());
    return true;
  }

  std::vector<Range> begin() {
    const std::vector<Range> ranges = prepare();
    std::filesystem::remove_all(qat_folder(run_));
    std::filesystem::create_directories(qat_folder(run_));
    write_tflite(quantized(ranges), ptq_file(run_));
    Array numbers(ElementType::float32, {static_cast<std::int32_t>(ranges.size()), 2});
    float* to = numbers.values<float>().data();
    for (const Range& r : ranges) *to++ = r.min, *to++ = r.max;
    Weights weights = network_.weights;
    weights["ranges"] = std::move(numbers);
    write_checkpoint(qat_folder(run_) / "start.pt", {std::move(weights), {}, json{{"origin", origin()}, {"result", result_}}.dump()});
    return ranges;
  }

  // The recipe of the training that follows: short, at a low rate, from the weights that are there. All layers learn.
  Recipe qat_recipe() const {
    Recipe r = recipe_;
    r.train.epochs = r.quantize.qat_epochs;
    r.train.learning_rate = r.quantize.qat_learning_rate;
    r.train.schedule = "cosine";
    r.train.warmup_epochs = r.train.warmup_learning_rate = r.train.final_learning_rate = 0;
    r.train.ema_decay = 0;
    r.train.initial.clear();
    r.train.initial_except.clear();
    r.train.freeze.clear();
    r.train.precision = "float32";
    r.train.device = "cpu";  // where the kernels run
    r.train.channels_last = true;
    r.augment.plain_epochs = std::min(r.augment.plain_epochs, r.train.epochs);
    return r;
  }

  QuantizedRun train_on() {
    std::vector<Range> ranges;
    const bool goes_on = resume(ranges);
    if (!goes_on) ranges = begin();
    note(fmt::format("{} as int8, {} epochs", goes_on ? "training goes on" : "training", recipe_.quantize.qat_epochs));
    const Recipe recipe = qat_recipe();
    GraphModule module(network_.graph, {.seed = recipe.run.seed, .device = recipe.train.device});
    train_as_int8(module, network_.weights, ranges,
                  {.ranges = qat_ranges_from(recipe.quantize.qat_ranges), .calibration = calibration_options(recipe.quantize)});
    TrainResult r;
    try {
      r = train_classification(recipe, module, qat_folder(run_), {.progress = hooks_.train, .resume = true});
    } catch (const Interrupted& stop) {
      throw Interrupted("quantize", stop.message(), fmt::format("it goes on from there with: micromind quantize {} --qat", run_.path().string()));
    }
    result_["qat"] = {{"epochs", r.epochs}, {"best_epoch", r.best_epoch}, {"ranges", recipe.quantize.qat_ranges},
                      {"loss", r.loss},     {"seconds", r.seconds},       {"images_per_second", r.images_per_second}};
    if (const auto top1 = r.best.find("top1"); top1 != r.best.end()) result_["qat"]["validation_top1"] = top1->second;
    return {qat_model(network_.graph, load_checkpoint(qat_folder(run_) / "checkpoints" / "best.pt")), std::move(result_)};
  }

  const RunFolder& run_;
  const Recipe& recipe_;
  const StageHooks& hooks_;
  std::filesystem::path best_;
  FoldedNetwork network_;
  std::unique_ptr<Dataset> images_;
  std::optional<BiasCorrection> correction_;
  json result_ = json::object();
};

}  // namespace

QuantizedRun quantize_trained(const RunFolder& run, bool qat, const StageHooks& hooks) { return Quantizing(run, hooks).run(qat); }

}  // namespace micromind
