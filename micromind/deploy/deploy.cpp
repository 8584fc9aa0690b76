#include "micromind/deploy/deploy.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"
#include "micromind/cost/cost.h"
#include "micromind/deploy/cross.h"
#include "micromind/deploy/cycle_model.h"
#include "micromind/deploy/emit.h"
#include "micromind/deploy/emulator.h"
#include "micromind/deploy/flash_parts.h"
#include "micromind/deploy/harness.h"
#include "micromind/deploy/profile.h"
#include "micromind/lower/lower.h"

namespace micromind {
namespace {

constexpr std::size_t kStoredInputs = 3;            // of the given ones, in the self test
constexpr std::size_t kStoredInputBytes = 100'000;  // about

std::size_t port_bytes(const Graph& graph, const std::vector<Port>& ports) {
  std::int64_t total = 0;
  for (const Port& p : ports) total += graph.shape(p.value).elements();
  return static_cast<std::size_t>(total);
}

void check_inputs(const Model& model, const std::vector<ByteTensor>& inputs) {
  if (inputs.empty()) fail("deploy", "{}: at least one input is needed to compare outputs", model.graph.name);
  const std::size_t expected = port_bytes(model.graph, model.graph.inputs());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].size() != expected)
      fail("deploy", "input {} has {} bytes; the inputs of {} take {}", i, inputs[i].size(), model.graph.name,
           expected);
}

// The outputs of strips are those of the network as it was given.
void compare_whole(const Model& whole, const std::vector<ByteTensor>& inputs, const CoreRun& run, Deployment& d) {
  const Proof of_whole = prove(whole, inputs, {run.outputs, {}, {}});
  d.outputs_identical = std::min(d.outputs_identical, of_whole.outputs_identical);
  if (d.first_difference.empty() && !of_whole.first_difference.empty()) d.first_difference = "without patches: " + of_whole.first_difference;
}

void note_placement(const PlacedModel& placed, Deployment& d) {
  for (std::size_t k = 0; k < placed.banks.size(); ++k) d.arenas.push_back({placed.banks[k], placed.cost.plan.bank_bytes[k]});
  d.arena_bank = placed.banks.front();
  d.arena_without_patches_bytes = placed.arena_without_patches;
  if (!placed.patches) return;
  const auto name = [&](int strip) {
    for (const Node& node : placed.model.graph.nodes())
      if (const auto end = node.name.rfind(fmt::format(".strip{}", strip)); end != std::string::npos && !is_view(node.op)) return node.name.substr(0, end);
    return std::string();
  };
  d.patches = placed.patches->patches.strips;
  d.patches_first = name(0);
  for (const Node& node : placed.model.graph.nodes())
    if (std::holds_alternative<JoinRows>(node.op)) d.patches_last = node.name.substr(0, node.name.size() - std::string_view(".join").size());
  d.extra_macs = placed.patches->extra_macs;
}

void measure_image(const BuildResult& built, Deployment& d) {
  d.flash_bytes = built.flash_bytes;
  d.external_flash_bytes = built.external_flash_bytes;
  const ElfSection* constants = built.image.section(".rodata");
  d.constant_bytes = constants == nullptr ? 0 : constants->bytes;
  d.code_bytes = built.text - d.constant_bytes;
  d.data_bss_bytes = built.data + built.bss - d.arena_bytes;
}

// By class, layer by layer, where there is a table of cycles and the plugin that counts.
std::vector<InstructionCounts> count_classes(const Harness& harness, const Target& machine, const ByteTensor& input) {
  if (cycle_table(machine.core) == nullptr || !has_plugin()) return {};
  return profile_layers(harness, machine, input);
}

// Classes come from a build with MODEL_TRACE, which may execute other instructions than one without: the sum keeps that build's cycles an
// instruction and takes the instructions of the run without trace.
void estimate_layers(const std::vector<InstructionCounts>& classes, Core core, Deployment& d) {
  double cycles = 0, instructions = 0;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    d.layers[i].cycles = estimate_cycles(classes[i], *cycle_table(core));
    cycles += *d.layers[i].cycles;
    instructions += static_cast<double>(classes[i].total());
  }
  if (instructions > 0) d.cycles_by_class = cycles / instructions * static_cast<double>(d.instructions);
}

std::vector<ByteTensor> stored_inputs(const std::vector<ByteTensor>& inputs) {
  if (inputs.empty()) return {};
  const std::size_t most = std::clamp<std::size_t>(
      kStoredInputBytes / std::max<std::size_t>(1, inputs[0].size()), 1, kStoredInputs);
  return {inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(std::min(most, inputs.size()))};
}

}  // namespace

double cycles_per_instruction(Core core) {
  switch (core) {
    case Core::kCortexM4:
      return 1.20;
    case Core::kCortexM7:
      return 0.85;
    case Core::kCortexM55:
      return 0.92;
    case Core::kCortexM0:
    case Core::kCortexM0Plus:
    case Core::kCortexM3:
    case Core::kCortexM33:
    case Core::kRv32imc:
    case Core::kRv64gc:
    case Core::kHost:
      return 0;
  }
  return 0;
}

void check_deploy_tools(const Target& target, bool emulate) {
  need_buildable(target);
  need_cross_compiler(target);
  if (!emulate) return;
  emulation_target(target);
  need_emulator(target);
}

Deployment deploy(const Model& whole, const Target& target, const std::filesystem::path& folder,
                  const std::vector<std::vector<std::int8_t>>& inputs, const DeployOptions& options) {
  check_deploy_tools(target, options.emulate);
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  if (options.emulate || !inputs.empty()) check_inputs(whole, inputs);
  check_emittable(whole);
  const Target machine = options.emulate ? emulation_target(target) : target;
  const PlacedModel placed = place_model(whole, target, options.placement);
  const Model& model = placed.model;
  const Cost& cost = placed.cost;
  EmitOptions emit;
  emit.prefix = options.name;
  emit.projects = options.projects;
  emit.test_inputs = stored_inputs(inputs);
  emit.plan = cost.plan;
  emit.external_weights = placed.external;
  const std::vector<EmittedFile> files = emit_c(model, emit);

  Deployment d;
  d.target = target.name;
  d.core = core_name(target.core);
  d.machine = machine.emulator ? machine.emulator->machine : "";
  d.compiler = cross_compiler_version(target);
  d.arena_bytes = cost.plan.arena_bytes;
  d.arena_lower_bound_bytes = cost.plan.lower_bound_bytes;
  note_placement(placed, d);
  d.flash_estimate_bytes = cost.flash_bytes;
  d.macs = cost.macs;
  d.layers = describe_layers(model.graph);

  write_files(files, folder);
  const TemporaryFolder work("micromind-deploy");
  const Harness harness{model, cost.plan, std::filesystem::absolute(folder), work.path(), placed.banks, options.name};
  say(fmt::format("building for {}", target.name));
  const BuildResult built = build_size_image(harness, target);
  measure_image(built, d);
  d.flash_parts = flash_parts(model, built);
  if (options.emulate) {
    say(fmt::format("running {} inputs on {} ({})", inputs.size(), d.machine, d.core));
    auto trace =
        std::async(std::launch::async, [&] { return trace_on_core(harness, machine, {inputs.front()}); });
    const CoreRun run = run_on_core(harness, machine, inputs);
    const std::vector<InstructionCounts> classes = count_classes(harness, machine, inputs.front());
    d.instructions = run.instructions;
    d.instructions_most = run.instructions_most;
    d.stack_bytes = run.stack_bytes;
    d.arena_used_bytes = run.arena_used_bytes;
    d.cycles_estimate =
        std::llround(static_cast<double>(run.instructions) * cycles_per_instruction(target.core));
    say("comparing layer by layer");
    d.outputs = run.outputs;
    static_cast<Proof&>(d) = prove(model, inputs, chip_values(run, trace.get()));
    if (placed.patches) compare_whole(whole, inputs, run, d);
    estimate_layers(classes, target.core, d);
  }
  emit.figures =
      EmittedFigures{d.target, d.compiler, d.flash_bytes, d.code_bytes, d.stack_bytes, d.instructions};
  write_files(emit_c(model, emit), folder);
  return d;
}

nlohmann::json to_json(const Deployment& d) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerMeasurement& l : d.layers)
    layers.push_back(to_json(l));
  nlohmann::json arenas = nlohmann::json::array();
  for (const Deployment::Arena& arena : d.arenas) arenas.push_back({{"bank", arena.bank}, {"bytes", arena.bytes}});
  nlohmann::json parts = nlohmann::json::array();
  for (const FlashPart& p : d.flash_parts) parts.push_back({{"kind", p.kind}, {"name", p.name}, {"bytes", p.bytes}});
  nlohmann::json json = {{"target", d.target},
                         {"core", d.core},
                         {"machine", d.machine},
                         {"compiler", d.compiler},
                         {"arena_bytes", d.arena_bytes},
                         {"arena_lower_bound_bytes", d.arena_lower_bound_bytes},
                         {"arena_bank", d.arena_bank},
                         {"arenas", std::move(arenas)},
                         {"patches", d.patches},
                         {"patches_first_layer", d.patches_first},
                         {"patches_last_layer", d.patches_last},
                         {"patches_extra_macs", d.extra_macs},
                         {"patches_extra_macs_percent", d.macs > 0 ? 100.0 * static_cast<double>(d.extra_macs) / static_cast<double>(d.macs) : 0.0},
                         {"arena_without_patches_bytes", d.arena_without_patches_bytes},
                         {"flash_bytes", d.flash_bytes},
                         {"external_flash_bytes", d.external_flash_bytes},
                         {"flash_estimate_bytes", d.flash_estimate_bytes},
                         {"constant_bytes", d.constant_bytes},
                         {"code_bytes", d.code_bytes},
                         {"data_bss_bytes", d.data_bss_bytes},
                         {"arena_used_bytes", d.arena_used_bytes},
                         {"stack_bytes", d.stack_bytes},
                         {"instructions", d.instructions},
                         {"instructions_most", d.instructions_most},
                         {"cycles_estimate", nullptr},
                         {"cycles_by_class_estimate", d.cycles_by_class > 0 ? nlohmann::json(d.cycles_by_class) : nlohmann::json(nullptr)},
                         {"macs", d.macs},
                         {"outputs_compared", d.outputs_compared},
                         {"outputs_identical", d.outputs_identical},
                         {"first_difference", d.first_difference},
                         {"flash_parts", std::move(parts)},
                         {"layers", std::move(layers)}};
  if (d.cycles_estimate > 0) json["cycles_estimate"] = d.cycles_estimate;
  return json;
}

std::string layer_table(const Deployment& d) {
  if (d.outputs_compared == 0) {  // not run on a core: nothing was measured
    std::vector<std::vector<std::string>> rows = {{"layer", "kernel", "MACs"}};
    for (const LayerMeasurement& l : d.layers) rows.push_back({l.name, l.kernel, format_count(l.macs)});
    return format_table(rows);
  }
  std::vector<std::vector<std::string>> rows = {
      {"layer", "kernel", "MACs", "instructions", "per MAC", "identical"}};
  for (const LayerMeasurement& l : d.layers)
    rows.push_back(
        {l.name, l.kernel, format_count(l.macs), format_count(l.instructions),
         l.macs > 0 ? fmt::format("{:.2f}", static_cast<double>(l.instructions) / static_cast<double>(l.macs))
                    : "",
         l.identical ? "yes" : "no"});
  return format_table(rows);
}

}  // namespace micromind
