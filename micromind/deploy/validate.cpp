#include "micromind/deploy/validate.h"

#include <algorithm>
#include <future>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/cost/cost.h"
#include "micromind/cost/ram_place.h"
#include "micromind/deploy/cross.h"
#include "micromind/deploy/cycle_model.h"
#include "micromind/deploy/deploy.h"
#include "micromind/deploy/emit.h"
#include "micromind/deploy/harness.h"
#include "micromind/deploy/profile.h"
#include "micromind/lower/lower.h"
#include "micromind/deploy/serial.h"

namespace micromind {
namespace {

std::vector<ByteTensor> first(const std::vector<ByteTensor>& inputs, std::int64_t count) {
  const auto n = static_cast<std::ptrdiff_t>(std::clamp<std::int64_t>(count, 1, std::ssize(inputs)));
  return {inputs.begin(), inputs.begin() + n};
}

Validation describe(const Model& model, const Cost& cost, const Target* target) {
  Validation v;
  v.model = model.graph.name;
  if (target != nullptr) {
    v.target = target->name;
    v.core = core_name(target->core);
  }
  v.macs = cost.macs;
  v.arena_bytes = cost.plan.arena_bytes;
  return v;
}

// Cycles by the core's table from the instructions that were counted by class.
void estimate_time(const Target& target, const std::vector<InstructionCounts>& layers, Validation& v) {
  double total = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const double cycles = estimate_cycles(layers[i], *cycle_table(target.core));
    v.proof.layers.at(i).cycles = cycles;
    total += cycles;
  }
  v.cycles_estimate = total;
  v.seconds_estimate = total / static_cast<double>(target.clock_hz);
  v.time_basis = cycle_estimate_basis(target.core);
}

void check_inputs(const std::vector<ByteTensor>& inputs) {
  if (inputs.empty()) fail("validate", "at least one input is needed to compare outputs");
}

}  // namespace

Validation validate(const Model& model, const Target& target, const std::vector<ByteTensor>& inputs, const ValidateOptions& options) {
  check_inputs(inputs);
  check_deploy_tools(target, true);
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  const Target machine = emulation_target(target);
  const Lowered lowered = as_lowered(model.graph);
  Cost cost = estimate_cost(model.graph, lowered);
  RamPlace ram = place_activations(model.graph, cost.plan, target);
  if (!ram.fits()) arena_bank(target, cost.peak_ram_bytes);  // throws
  cost.plan = std::move(ram.plan);
  std::vector<std::string> banks;
  for (const MemoryBank* bank : ram.banks) banks.push_back(bank->name);
  Validation v = describe(model, cost, &target);
  v.device = machine.emulator->machine;
  v.compiler = cross_compiler_version(target);

  const TemporaryFolder work("micromind-validate");
  EmitOptions emit;
  emit.plan = cost.plan;
  write_c(model, work.path() / "c", emit);
  const Harness harness{model, cost.plan, work.path() / "c", work.path() / "work", banks};
  const std::vector<ByteTensor> traced = first(inputs, options.layer_inputs);
  v.layer_inputs = std::ssize(traced);
  const bool timed = is_cortex_m(target.core) && cycle_table(target.core) != nullptr;
  say(fmt::format("running {} inputs on {} ({})", inputs.size(), v.device, v.core));
  auto trace = std::async(std::launch::async, [&] {
    CoreTrace result = trace_on_core(harness, machine, traced);
    return std::pair(std::move(result), timed ? profile_layers(harness, machine, traced.front()) : std::vector<InstructionCounts>());
  });
  CoreRun run = run_on_core(harness, machine, inputs);
  v.instructions = run.instructions;
  v.instructions_most = run.instructions_most;
  v.stack_bytes = run.stack_bytes;
  v.arena_used_bytes = run.arena_used_bytes;
  auto [values, counts] = trace.get();
  say(fmt::format("comparing {} outputs, and every layer of {} inputs", inputs.size(), traced.size()));
  v.proof = prove(model, inputs, chip_values(std::move(run), std::move(values)), {options.labels, options.real});
  if (timed) estimate_time(target, counts, v);
  return v;
}

Validation validate(const Model& model, const Target* target, SerialChip& chip, const std::vector<ByteTensor>& inputs,
                    const ValidateOptions& options) {
  check_inputs(inputs);
  Validation v = describe(model, estimate_cost(model.graph, as_lowered(model.graph)), target);
  v.emulated = false;
  v.device = chip.line();
  chip.need_model(model);
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  ChipValues values;
  say(fmt::format("sending {} inputs to {}", inputs.size(), chip.line()));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const SerialRun run = chip.run(inputs[i], i == 0);
    values.outputs.push_back(run.outputs);
    v.stack_bytes = std::max(v.stack_bytes, run.stack_bytes);
    v.arena_used_bytes = std::max(v.arena_used_bytes, run.arena_used_bytes);
    if (i == 0 && chip.hello().ticks) v.ticks = run.ticks;
    if (i == 0 && chip.hello().ticks_hz > 0) v.seconds_measured = static_cast<double>(run.ticks) / chip.hello().ticks_hz;
  }
  if (chip.hello().trace) {
    const std::vector<ByteTensor> traced = first(inputs, options.layer_inputs);
    say(fmt::format("reading every layer of {} inputs", traced.size()));
    for (const ByteTensor& input : traced) values.layers.push_back(chip.trace(model, input));
    v.layer_inputs = std::ssize(traced);
  }
  v.proof = prove(model, inputs, values, {options.labels, options.real});
  return v;
}

std::string cycle_estimate_basis(Core core) {
  const CycleTable* table = cycle_table(core);
  if (table == nullptr) return "";
  // Cycles an instruction: boards of MLPerf Tiny's published results, and the table over our kernels (docs/operators.md).
  std::string_view error = "not compared with a board";
  if (core == Core::kCortexM4) error = "1.3-1.5 cycles an instruction against 1.15-1.25 published for boards: up to 30 % too many";
  if (core == Core::kCortexM7) error = "0.71-0.74 cycles an instruction, without a cache miss, against 0.73-0.96 published for boards: up to 25 % too few";
  if (core == Core::kCortexM55) error = "0.92-1.03 cycles an instruction against 0.85-1.0 published for boards: within 20 %";
  return fmt::format("instructions counted by class, cycles a class from {}, memory without wait states; error: {}", table->source, error);
}

}  // namespace micromind
