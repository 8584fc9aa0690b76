// What the run folder holds, as the numbers of the report page.
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/cost/cost.h"
#include "micromind/lower/lower.h"
#include "micromind/run/report.h"

namespace micromind {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// A member of a stage's result; a damaged file is an Error that names the key, not a crash.
template <class T>
T value_of(const nlohmann::json& json, const char* key) {
  try {
    return json.at(key).get<T>();
  } catch (const nlohmann::json::exception&) {
    fail_with_hint("report", "run the stage again", "the stored results lack '{}', or it has another type", key);
  }
}

template <class T>
T value_or(const nlohmann::json& json, const char* key, T otherwise) {
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? otherwise : value_of<T>(json, key);
}

ReportMemory memory_of(const Cost& cost, const Graph& lowered) {
  ReportMemory memory;
  memory.arena_bytes = cost.plan.arena_bytes;
  memory.lower_bound_bytes = cost.plan.lower_bound_bytes;
  memory.peak_step = cost.plan.peak_node;
  for (const Node& node : lowered.nodes()) memory.steps.push_back(node.name);
  const auto is_port = [](const std::vector<Port>& ports, int value) {
    return std::any_of(ports.begin(), ports.end(), [&](const Port& p) { return p.value == value; });
  };
  for (std::size_t v = 0; v < cost.plan.placements.size(); ++v) {
    const Placement& p = cost.plan.placements[v];
    const int value = static_cast<int>(v);
    const TensorKind kind = is_port(lowered.inputs(), value)    ? TensorKind::input
                            : is_port(lowered.outputs(), value) ? TensorKind::output
                            : p.shares >= 0                     ? TensorKind::in_place
                                                                : TensorKind::activation;
    const int last_step = static_cast<int>(memory.steps.size()) - 1;
    memory.tensors.push_back({.name = lowered.value_name(value), .kind = kind, .offset = p.offset, .bytes = p.bytes,
                              .first = std::clamp(p.first, 0, std::max(0, last_step)), .last = std::clamp(p.last, 0, std::max(0, last_step))});
  }
  return memory;
}

void add_cost(ReportData& d, const Graph& network, const Lowered& lowered) {
  const Cost cost = estimate_cost(network, lowered);
  d.parameters = cost.parameters;
  d.macs = cost.macs;
  d.torchinfo_mult_adds = cost.torchinfo_mult_adds;
  d.peak_ram_bytes = cost.peak_ram_bytes;
  d.flash_bytes = cost.flash_bytes;
  d.bottleneck = cost.ram_bottleneck;
  d.memory = memory_of(cost, lowered.graph);
  d.input_shape = to_string(network.shape(network.inputs().front().value));
  for (const LayerCost& layer : cost.layers) {
    const Node& node = lowered.graph.nodes()[static_cast<std::size_t>(layer.node)];
    d.layers.push_back({.name = node.name, .op = std::string(op_name(node.op)), .kernel = std::string(layer.kernel),
                        .output_shape = to_string(lowered.graph.shape(node.outputs.front())), .parameters = layer.parameters,
                        .macs = layer.macs, .live_bytes = layer.live_bytes, .flash_bytes = layer.flash_bytes});
  }
}

void add_target(ReportData& d, const std::string& name) {
  const Target target = load_target(name);
  d.target = target.name;
  d.target_description = target.description;
  d.core = core_name(target.core);
  d.clock_hz = static_cast<double>(target.clock_hz);
  const ArenaPlace place = place_arena(target, d.peak_ram_bytes);
  d.ram_available = place.bank->bytes;
  d.flash_available = target.flash.bytes;
  d.stack_reserved = place.reserved > 0 ? target.stack_bytes : 0;
}

// The lines of kind "epoch" in log.jsonl; a last line that was cut short is left out.
void add_training(ReportData& d, const RunFolder& run) {
  if (const nlohmann::json train = run.result("train"); !train.is_null()) d.train_seconds = value_or(train, "seconds", 0.0);
  std::error_code ignored;
  if (!std::filesystem::exists(run.log_file(), ignored)) return;
  std::istringstream lines(read_text(run.log_file()));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json row = nlohmann::json::parse(line, nullptr, false);
    if (!row.is_object() || value_or(row, "kind", std::string()) != "epoch") continue;
    const nlohmann::json validation = value_or(row, "validation", nlohmann::json::object());
    const nlohmann::json training = value_or(row, "train", nlohmann::json::object());
    d.epochs.push_back({.train_loss = value_or(row, "loss", kNotMeasured), .validation_loss = value_or(validation, "loss", kNotMeasured),
                        .validation_top1 = value_or(validation, "top1", kNotMeasured), .train_top1 = value_or(training, "top1", kNotMeasured)});
  }
}

void add_accuracy(ReportData& d, const nlohmann::json& evaluate) {
  if (evaluate.is_null()) return;
  d.accuracy = ReportAccuracy{.samples = value_of<std::int64_t>(evaluate, "samples"),
                              .top1 = value_of<double>(evaluate, "top1"),
                              .int8_top1 = value_or(evaluate, "int8_top1", kNotMeasured),
                              .ptq_top1 = value_or(evaluate, "ptq_top1", kNotMeasured),
                              .class_names = value_of<std::vector<std::string>>(evaluate, "class_names"),
                              .int8_confusion = value_or(evaluate, "int8_confusion", std::vector<std::vector<std::int64_t>>{})};
}

void add_files(ReportData& d, const RunFolder& run) {
  const auto add = [&](const std::filesystem::path& path, std::string_view what) {
    std::error_code error;
    std::int64_t bytes = 0;
    if (std::filesystem::is_directory(path, error)) {
      for (std::filesystem::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error))
        if (std::error_code ignored; it->is_regular_file(ignored)) bytes += static_cast<std::int64_t>(it->file_size(ignored));
    } else if (std::filesystem::is_regular_file(path, error)) {
      bytes = static_cast<std::int64_t>(std::filesystem::file_size(path, error));
    } else {
      return;
    }
    const bool folder = std::filesystem::is_directory(path, error);
    d.files.push_back({.name = path.filename().string() + (folder ? "/" : ""), .what = std::string(what), .bytes = bytes});
  };
  add(run.network_file(), "the network");
  add(run.checkpoints(), "weights, readable by Python's torch.load");
  add(run.tflite_file(), "int8 model, TensorFlow Lite");
  add(run.onnx_file(), "float model, ONNX");
  add(run.c_folder(), "plain C for the target");
  add(run.log_file(), "one line a training step or epoch");
}

}  // namespace

Deployment deployment_from_json(const nlohmann::json& j) {
  Deployment d;
  d.target = value_of<std::string>(j, "target");
  d.core = value_of<std::string>(j, "core");
  d.machine = value_or(j, "machine", std::string());
  d.first_difference = value_or(j, "first_difference", std::string());
  const auto count = [&](const char* key) { return value_or(j, key, std::int64_t{0}); };
  d.arena_bytes = value_of<std::int64_t>(j, "arena_bytes");
  d.patches = value_or(j, "patches", std::int64_t{0});
  d.patches_first = value_or(j, "patches_first_layer", std::string());
  d.patches_last = value_or(j, "patches_last_layer", std::string());
  d.extra_macs = value_or(j, "patches_extra_macs", std::int64_t{0});
  d.arena_without_patches_bytes = value_or(j, "arena_without_patches_bytes", std::int64_t{0});
  d.external_flash_bytes = value_or(j, "external_flash_bytes", std::int64_t{0});
  for (const nlohmann::json& arena : value_or(j, "arenas", nlohmann::json::array()))
    d.arenas.push_back({value_of<std::string>(arena, "bank"), value_of<std::int64_t>(arena, "bytes")});
  d.arena_lower_bound_bytes = count("arena_lower_bound_bytes");
  d.flash_bytes = value_of<std::int64_t>(j, "flash_bytes");
  d.flash_estimate_bytes = count("flash_estimate_bytes");
  d.constant_bytes = count("constant_bytes");
  d.code_bytes = count("code_bytes");
  d.data_bss_bytes = count("data_bss_bytes");
  d.stack_bytes = count("stack_bytes");
  d.instructions = count("instructions");
  d.cycles_estimate = count("cycles_estimate");
  d.cycles_by_class = value_or(j, "cycles_by_class_estimate", 0.0);
  d.macs = count("macs");
  d.outputs_compared = value_of<std::int64_t>(j, "outputs_compared");
  d.outputs_identical = value_of<std::int64_t>(j, "outputs_identical");
  for (const nlohmann::json& layer : value_or(j, "layers", nlohmann::json::array())) {
    d.layers.push_back({.name = value_of<std::string>(layer, "name"), .kernel = value_or(layer, "kernel", std::string()),
                        .macs = value_or(layer, "macs", std::int64_t{0}), .instructions = value_or(layer, "instructions", std::int64_t{0}),
                        .identical = value_or(layer, "identical", false)});
    if (const double cycles = value_or(layer, "cycles_estimate", 0.0); cycles > 0) d.layers.back().cycles = cycles;
  }
  for (const nlohmann::json& part : value_or(j, "flash_parts", nlohmann::json::array()))
    d.flash_parts.push_back({value_of<std::string>(part, "kind"), value_of<std::string>(part, "name"), value_of<std::int64_t>(part, "bytes")});
  return d;
}

ReportData model_report(const Model& model, const std::string& file, const Deployment& deployment) {
  ReportData d;
  d.is_run = false;
  d.name = std::filesystem::path(file).filename().string();
  d.folder = file;
  d.family = model.graph.name;
  d.dataset = "int8";
  add_cost(d, model.graph, as_lowered(model.graph));
  add_target(d, deployment.target);
  d.deployment = deployment;
  return d;
}

ReportData gather_report(const RunFolder& run) {
  ReportData d;
  const Recipe& recipe = run.recipe();
  d.name = recipe.run.name.empty() ? run.path().filename().string() : recipe.run.name;
  d.folder = run.path().string();
  d.recipe = to_toml(recipe);
  d.family = recipe.network.family;
  d.dataset = recipe.data.name;
  const nlohmann::json deploy = run.result("deploy");
  const Graph network = load_graph(run.need(run.network_file(), "train").string());
  add_cost(d, network, lower(network));
  // The last deployment may have been for another target than the recipe's.
  add_target(d, deploy.is_null() ? recipe.deploy.target : value_of<std::string>(deploy, "target"));
  add_training(d, run);
  add_accuracy(d, run.result("evaluate"));
  if (!deploy.is_null()) d.deployment = deployment_from_json(deploy);
  add_files(d, run);
  return d;
}

}  // namespace micromind
