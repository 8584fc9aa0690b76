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
#include "micromind/deploy/emit.h"
#include "micromind/deploy/emulator.h"
#include "micromind/deploy/harness.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/executor.h"

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

// Fails before anything is built when plan or estimate exceed the board.
void check_room(const Cost& cost, const Lowered& lowered, const Target& target) {
  arena_bank(target, cost.peak_ram_bytes);
  const Fit fit = check_fit(cost, lowered, target);
  if (fit.flash_needed > fit.flash_available)
    fail_with_hint("deploy", "a smaller network, or a board with more flash", "the model does not fit {}: {}",
                   target.name, fit.text);
}

class Host {
 public:
  explicit Host(const Model& model) : model_(model), executor_(model) {}

  ByteTensor run(const ByteTensor& input, const Int8Executor::Observer& observer = {}) {
    auto from = input.begin();
    for (std::size_t k = 0; k < model_.graph.inputs().size(); ++k) {
      const std::span<std::int8_t> to = executor_.input(k);
      std::copy_n(from, to.size(), to.begin());
      from += static_cast<std::ptrdiff_t>(to.size());
    }
    executor_.run(observer);
    ByteTensor all;
    for (std::size_t k = 0; k < model_.graph.outputs().size(); ++k) {
      const std::span<const std::int8_t> out = executor_.output(k);
      all.insert(all.end(), out.begin(), out.end());
    }
    return all;
  }

 private:
  const Model& model_;
  Int8Executor executor_;
};

std::string difference(const std::string& where, std::span<const std::int8_t> host,
                       std::span<const std::int8_t> core) {
  const auto [h, c] = std::mismatch(host.begin(), host.end(), core.begin(), core.end());
  if (h == host.end() || c == core.end())
    return fmt::format("{}: {} bytes on the host, {} on the core", where, host.size(), core.size());
  return fmt::format("{}, byte {}: {} on the host, {} on the core", where, h - host.begin(), *h, *c);
}

std::vector<LayerMeasurement> describe_layers(const Graph& graph) {
  std::vector<LayerMeasurement> layers;
  for (const Node& node : graph.nodes())
    layers.push_back({node.name, std::string(kernel_of(graph, node)),
                      macs(node.op, graph.input_shapes(node), graph.output_shapes(node)), 0, false});
  return layers;
}

// Layer by layer, the first input.
void compare_layers(const Model& model, Host& host, const ByteTensor& input, const CoreTrace& trace,
                    Deployment& d) {
  std::vector<ByteTensor> values;
  host.run(input,
           [&](int, std::span<const std::int8_t> bytes) { values.emplace_back(bytes.begin(), bytes.end()); });
  std::size_t event = 0;
  d.layers = describe_layers(model.graph);
  for (std::size_t i = 0; i < d.layers.size(); ++i) {
    LayerMeasurement& layer = d.layers[i];
    layer.identical = true;
    for (std::size_t k = 0; k < model.graph.nodes()[i].outputs.size(); ++k, ++event) {
      layer.instructions += trace.instructions[event];
      if (values[event] == trace.values[event]) continue;
      layer.identical = false;
      if (d.first_difference.empty())
        d.first_difference =
            difference(fmt::format("layer {} '{}' ({}), output {}", i, layer.name, layer.kernel, k),
                       values[event], trace.values[event]);
    }
  }
}

void compare_outputs(Host& host, const std::vector<ByteTensor>& inputs, const CoreRun& run, Deployment& d) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const ByteTensor expected = host.run(inputs[i]);
    ++d.outputs_compared;
    if (expected == run.outputs[i])
      ++d.outputs_identical;
    else if (d.first_difference.empty())
      d.first_difference = difference(fmt::format("outputs of input {}", i), expected, run.outputs[i]);
  }
}

void measure_image(const BuildResult& built, Deployment& d) {
  d.flash_bytes = built.flash_bytes;
  const ElfSection* constants = built.image.section(".rodata");
  d.constant_bytes = constants == nullptr ? 0 : constants->bytes;
  d.code_bytes = built.text - d.constant_bytes;
  d.data_bss_bytes = built.data + built.bss - d.arena_bytes;
}

std::vector<ByteTensor> stored_inputs(const std::vector<ByteTensor>& inputs) {
  if (inputs.empty()) return {};
  const std::size_t most = std::clamp<std::size_t>(
      kStoredInputBytes / std::max<std::size_t>(1, inputs[0].size()), 1, kStoredInputs);
  return {inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(std::min(most, inputs.size()))};
}

}  // namespace

void compare(const Model& model, const std::vector<ByteTensor>& inputs, const CoreRun& run,
             const CoreTrace& trace, Deployment& d) {
  Host host(model);
  compare_layers(model, host, inputs.front(), trace, d);
  compare_outputs(host, inputs, run, d);
}

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
  need_cross_compiler();
  if (!emulate) return;
  emulation_target(target);
  need_emulator();
}

Deployment deploy(const Model& model, const Target& target, const std::filesystem::path& folder,
                  const std::vector<std::vector<std::int8_t>>& inputs, const DeployOptions& options) {
  check_deploy_tools(target, options.emulate);
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  if (options.emulate || !inputs.empty()) check_inputs(model, inputs);
  EmitOptions emit;
  emit.test_inputs = stored_inputs(inputs);
  const std::vector<EmittedFile> files = emit_c(model, emit);  // also checks the model
  const Target machine = options.emulate ? emulation_target(target) : target;
  const Lowered lowered = as_lowered(model.graph);
  const Cost cost = estimate_cost(model.graph, lowered);
  check_room(cost, lowered, target);

  Deployment d;
  d.target = target.name;
  d.core = core_name(target.core);
  d.machine = machine.emulator ? machine.emulator->machine : "";
  d.compiler = cross_compiler_version();
  d.arena_bytes = cost.plan.arena_bytes;
  d.arena_lower_bound_bytes = cost.plan.lower_bound_bytes;
  d.arena_bank = arena_bank(target, cost.plan.arena_bytes).name;
  d.flash_estimate_bytes = cost.flash_bytes;
  d.macs = cost.macs;
  d.layers = describe_layers(model.graph);

  write_files(files, folder);
  const TemporaryFolder work("micromind-deploy");
  const Harness harness{model, cost.plan, std::filesystem::absolute(folder), work.path()};
  say(fmt::format("building for {}", target.name));
  measure_image(build_size_image(harness, target), d);
  if (options.emulate) {
    say(fmt::format("running {} inputs on {} ({})", inputs.size(), d.machine, d.core));
    auto trace =
        std::async(std::launch::async, [&] { return trace_on_core(harness, machine, inputs.front()); });
    const CoreRun run = run_on_core(harness, machine, inputs);
    d.instructions = run.instructions;
    d.instructions_most = run.instructions_most;
    d.stack_bytes = run.stack_bytes;
    d.cycles_estimate =
        std::llround(static_cast<double>(run.instructions) * cycles_per_instruction(target.core));
    say("comparing layer by layer");
    compare(model, inputs, run, trace.get(), d);
  }
  emit.figures =
      EmittedFigures{d.target, d.compiler, d.flash_bytes, d.code_bytes, d.stack_bytes, d.instructions};
  write_files(emit_c(model, emit), folder);
  return d;
}

nlohmann::json to_json(const Deployment& d) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerMeasurement& l : d.layers)
    layers.push_back({{"name", l.name},
                      {"kernel", l.kernel},
                      {"macs", l.macs},
                      {"instructions", l.instructions},
                      {"identical", l.identical}});
  nlohmann::json json = {{"target", d.target},
                         {"core", d.core},
                         {"machine", d.machine},
                         {"compiler", d.compiler},
                         {"arena_bytes", d.arena_bytes},
                         {"arena_lower_bound_bytes", d.arena_lower_bound_bytes},
                         {"arena_bank", d.arena_bank},
                         {"flash_bytes", d.flash_bytes},
                         {"flash_estimate_bytes", d.flash_estimate_bytes},
                         {"constant_bytes", d.constant_bytes},
                         {"code_bytes", d.code_bytes},
                         {"data_bss_bytes", d.data_bss_bytes},
                         {"stack_bytes", d.stack_bytes},
                         {"instructions", d.instructions},
                         {"instructions_most", d.instructions_most},
                         {"cycles_estimate", nullptr},
                         {"macs", d.macs},
                         {"outputs_compared", d.outputs_compared},
                         {"outputs_identical", d.outputs_identical},
                         {"first_difference", d.first_difference},
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
