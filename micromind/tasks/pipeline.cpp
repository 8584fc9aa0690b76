#include "micromind/tasks/pipeline.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/text.h"
#include "micromind/cost/cost.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/formats/tflite.h"
#include "micromind/run/design_recipe.h"
#include "micromind/run/export.h"
#include "micromind/run/report.h"
#include "micromind/run/subject.h"
#include "micromind/tasks/classification.h"
#include "micromind/tasks/int8_evaluation.h"
#include "micromind/tasks/quantization.h"
#include "micromind/tasks/teacher.h"
#include "micromind/train/compute.h"
#include "micromind/train/distributed/ranks.h"

namespace micromind {
namespace {

using nlohmann::json;

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void note(const StageHooks& hooks, const std::string& line) {
  if (interrupted()) throw Interrupted("run", "stopped");
  if (hooks.note) hooks.note(line);
}

Graph read_network(const RunFolder& run) { return load_graph(run.need(run.network_file(), "train").string()); }

Weights best_weights(const RunFolder& run) {
  return load_checkpoint(run.need(run.checkpoints() / "best.pt", "train"));
}

Model read_int8(const RunFolder& run) { return read_tflite(run.need(run.tflite_file(), "quantize")); }

void need_fit(const json& network) {
  if (!network.value("fits", true))
    fail_with_hint("run", "make the network smaller (alpha, t_zero), name another deploy.target, or only train it: micromind train",
                   "{}", network.value("fit", "the network does not fit the target"));
}

}  // namespace

Recipe resolve_design(const Recipe& recipe, const StageHooks& hooks) {
  if (!recipe.design.present) return recipe;
  const std::unique_ptr<Dataset> data = open_dataset(dataset_options(recipe, DataSplit::train));
  if (data->size() == 0) fail("data", "{}: there are no training images", data->describe());
  const Image image = first_image(*data);
  const Shape input{image.channels, image.height, image.width};
  const Design d = design(design_request(recipe, input, static_cast<int>(data->class_names().size())));
  note(hooks, fmt::format("design: {} {}\n{}", d.family, d.options.dump(), design_table(d)));
  return with_design(recipe, d, d.network.shape(d.network.inputs().front().value) == input);
}

PreparedNetwork prepare_network(const Recipe& recipe, Goal goal, const StageHooks& hooks) {
  const Target target = load_target(recipe.deploy.target);
  if (goal == Goal::deploy) check_deploy_tools(target, recipe.deploy.emulate);
  check_device(recipe.train.device);
  const std::unique_ptr<Dataset> data = open_dataset(dataset_options(recipe, DataSplit::train));
  if (data->size() == 0) fail("data", "{}: there are no training images", data->describe());
  note(hooks, data->describe());
  const Image image = first_image(*data);
  const std::vector<std::string>& classes = data->class_names();
  if (classes.size() < 2) fail_with_hint("data", "a classifier tells at least two apart", "{}: there is only one class", data->describe());
  PreparedNetwork prepared;
  prepared.graph = recipe_network(recipe.network, {image.channels, image.height, image.width}, static_cast<int>(classes.size()));
  const Graph& graph = prepared.graph;
  check_classifier(graph, *data);
  if (!recipe.distill.teacher.empty()) Teacher(recipe, graph, classes);
  if (goal == Goal::deploy) check_classifier(graph, *open_dataset(dataset_options(recipe, DataSplit::test)));
  if (!recipe.train.initial.empty()) note(hooks, recipe_initial_weights(recipe, graph).summary);
  const Lowered lowered = lower(graph);
  const Cost cost = estimate_cost(graph, lowered);
  const Fit fit = check_fit(cost, lowered, target);
  json& result = prepared.result = to_json(cost, lowered);
  result.erase("layers");
  result["fits"] = fit.fits();
  result["fit"] = fit.text;
  result["class_names"] = classes;
  note(hooks, fmt::format("{}: {} parameters, {} MACs, arena {}, flash {}", recipe.network.family, format_count(cost.parameters),
                          format_count(cost.macs), format_bytes(cost.peak_ram_bytes), format_bytes(cost.flash_bytes)));
  if (goal == Goal::deploy) need_fit(result);
  note(hooks, fit.text);
  return prepared;
}

json stage_network(RunFolder& run, const PreparedNetwork& network) {
  save_graph(network.graph, run.network_file().string());
  run.set_result("network", network.result);
  return network.result;
}

void tell_ranks(Ranks* ranks, bool train) {
  if (ranks != nullptr) ranks->share(Bytes{static_cast<std::uint8_t>(train)});
}

void train_share(const Recipe& recipe, Ranks& ranks) {
  Recipe checked = recipe;
  checked.train.initial.clear();  // the first rank reads it for all
  const PreparedNetwork network = prepare_network(checked, Goal::train);
  if (ranks.share(Bytes{}) == Bytes{1}) train_classification(recipe, network.graph, {}, {.ranks = &ranks});
}

json stage_train(RunFolder& run, bool resume, const StageHooks& hooks) {
  const Graph graph = read_network(run);
  tell_ranks(hooks.ranks, true);
  const TrainResult r = train_classification(run.recipe(), graph, run.path(), {.progress = hooks.train, .note = hooks.note, .resume = resume, .ranks = hooks.ranks});
  const auto top1 = [](const Metrics& metrics) {
    const auto found = metrics.find("top1");
    return found == metrics.end() ? json() : json(found->second);
  };
  const json result = {{"epochs", r.epochs},         {"steps", r.steps},         {"seconds", r.seconds}, {"best_epoch", r.best_epoch},
                       {"top1", top1(r.best)},       {"last_top1", top1(r.last)}, {"loss", r.loss},       {"images_per_second", r.images_per_second}};
  run.set_result("train", result);
  return result;
}

json train_recipe(const Recipe& recipe, const std::filesystem::path& folder, const StageHooks& hooks) {
  const bool present = RunFolder::is_run_folder(folder);
  std::optional<PreparedNetwork> network;
  if (!present || !RunFolder::open(folder).has_result("network")) network = prepare_network(recipe, Goal::train, hooks);
  RunFolder run = present ? RunFolder::open(folder) : RunFolder::create(folder, recipe, IfPresent::fail);
  if (network) stage_network(run, *network);
  const json result = run.result("train");
  return result.is_null() ? stage_train(run, true, hooks) : result;
}

json stage_quantize(RunFolder& run, const StageHooks& hooks, bool qat) {
  const Stopwatch watch;
  auto [model, result] = quantize_trained(run, qat || run.recipe().quantize.qat, hooks);
  write_tflite(model, run.tflite_file());
  result["seconds"] = watch.seconds();
  result["bytes"] = std::filesystem::file_size(run.tflite_file());
  run.set_result("quantize", result);
  return result;
}

json stage_evaluate(RunFolder& run, const StageHooks& hooks) {
  const Stopwatch watch;
  const Recipe& recipe = run.recipe();
  const Graph graph = read_network(run);
  const std::unique_ptr<Dataset> test = open_dataset(dataset_options(recipe, DataSplit::test));
  note(hooks, "evaluating the float network on " + test->describe());
  const ClassificationResult real = evaluate_classification(recipe, graph, best_weights(run), DataSplit::test);
  if (real.samples < test->size()) note(hooks, fmt::format("{} test images could not be read and are left out", test->size() - real.samples));
  json result = {{"samples", real.samples}, {"top1", real.top1}, {"top5", real.top5}, {"class_names", test->class_names()}, {"confusion", real.confusion}};
  std::error_code ignored;
  if (std::filesystem::exists(run.tflite_file(), ignored)) {
    note(hooks, "evaluating the int8 model on this computer");
    const auto evaluated = [&](const Model& model) {
      return evaluate_int8(model, *test, input_normalization(recipe, graph), recipe.train.threads, recipe.data.damaged_share);
    };
    const ClassificationResult int8 = evaluated(read_int8(run));
    result["int8_top1"] = int8.top1;
    result["int8_top5"] = int8.top5;
    result["int8_confusion"] = int8.confusion;
    if (run.result("quantize").contains("qat") && std::filesystem::exists(ptq_file(run), ignored)) {
      note(hooks, "evaluating the int8 model without quantisation-aware training");
      result["ptq_top1"] = evaluated(read_tflite(ptq_file(run))).top1;
    }
  }
  result["seconds"] = watch.seconds();
  run.set_result("evaluate", result);
  return result;
}

json stage_export(RunFolder& run, const StageHooks& hooks) {
  note(hooks, "writing model.onnx");
  return export_onnx(run);
}

LabelledInputs test_inputs(const RunFolder& run, const Model& model, std::int64_t count) {
  const Recipe& recipe = run.recipe();
  const std::unique_ptr<Dataset> test = open_dataset(dataset_options(recipe, DataSplit::test));
  LabelledInputs found;
  found.inputs = int8_inputs(model, *test, input_normalization(recipe, model.graph), count > 0 ? count : recipe.deploy.inputs, &found.labels);
  return found;
}

json stage_deploy(RunFolder& run, const DeployStage& options, const StageHooks& hooks) {
  const Recipe& recipe = run.recipe();
  const Model model = read_int8(run);
  const Target target = load_target(options.target.empty() ? recipe.deploy.target : options.target);
  const auto inputs = test_inputs(run, model, options.inputs).inputs;
  DeployOptions deploy_options;
  deploy_options.emulate = options.emulate;
  deploy_options.placement = options.placement;
  deploy_options.progress = [&](const std::string& line) { note(hooks, line); };
  const std::filesystem::path folder = options.output.empty() ? run.c_folder() : options.output;
  json result = to_json(deploy(model, target, folder, inputs, deploy_options));
  result["folder"] = folder.string();
  run.set_result("deploy", result);
  return result;
}

namespace {

json all_stages(RunFolder& run, bool resume, const StageHooks& hooks) {
  json all = {{"folder", run.path().string()}};
  const auto stage = [&](const std::string& name, const std::filesystem::path& file, auto&& work) {
    std::error_code ignored;  // what a stage wrote may have been removed since
    const json kept = resume && std::filesystem::exists(file, ignored) ? run.result(name) : json();
    if (!kept.is_null()) note(hooks, fmt::format("{}: done already", name));
    if (!kept.is_null() && name == "train") tell_ranks(hooks.ranks, false);
    all[name] = kept.is_null() ? work() : kept;
  };
  all["network"] = run.result("network");
  if (all["network"].is_null()) all["network"] = stage_network(run, prepare_network(run.recipe(), Goal::deploy, hooks));
  need_fit(all["network"]);
  if (!resume || !run.has_result("deploy")) check_deploy_tools(load_target(run.recipe().deploy.target), run.recipe().deploy.emulate);
  stage("train", run.checkpoints() / "best.pt", [&] { return stage_train(run, resume, hooks); });
  stage("quantize", run.tflite_file(), [&] { return stage_quantize(run, hooks); });
  stage("evaluate", run.results_file(), [&] { return stage_evaluate(run, hooks); });
  stage("export", run.onnx_file(), [&] { return stage_export(run, hooks); });
  stage("deploy", run.c_folder() / "model.h", [&] { return stage_deploy(run, {.emulate = run.recipe().deploy.emulate}, hooks); });
  write_report(run);
  all["report"] = run.report_file().string();
  return all;
}

}  // namespace

json run_recipe(RunFolder& run, bool resume, const StageHooks& hooks) {
  try {
    return all_stages(run, resume, hooks);
  } catch (const Interrupted& stop) {
    throw Interrupted(stop.where(), stop.message(), fmt::format("it goes on from there with: micromind run {} --resume", run.path().string()));
  }
}

}  // namespace micromind
