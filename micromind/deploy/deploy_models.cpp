#include "micromind/deploy/deploy_models.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/cost/cost.h"
#include "micromind/deploy/cross.h"
#include "micromind/deploy/emit_models.h"
#include "micromind/deploy/emit_names.h"
#include "micromind/deploy/emulator.h"
#include "micromind/deploy/flash_parts.h"
#include "micromind/deploy/harness.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr double kSeconds = 600;  // of emulation, at most
constexpr std::size_t kStored = 3;

struct Planned {
  const ModelToDeploy* model;
  MemoryPlan plan;
  std::int64_t macs;
};

std::string ports_of(const Planned& p) {
  std::string text;
  for (const auto* ports : {&p.model->model.graph.inputs(), &p.model->model.graph.outputs()})
    for (const Port& port : *ports) {
      const Placement& place = p.plan.placements[static_cast<std::size_t>(port.value)];
      text += fmt::format("{{{}, {}}}, ", place.offset, place.bytes);
    }
  return text;
}

std::string table_header(const std::vector<Planned>& models, const Target& target, std::int64_t arena) {
  const MemoryBank& bank = arena_bank(target, arena);
  const std::string place = bank.name == target.main_bank().name ? "" : fmt::format("__attribute__((section(\".ram.{}\")))", bank.name);
  std::string text = fmt::format(
      "#include <stddef.h>\n#include <stdint.h>\n\n#include \"models.h\"\n\n#define ARENA_PLACE {}\n#define INPUT_COUNT {}\nenum {{ MODEL_COUNT = {} }};\n\n"
      "typedef struct {{ size_t offset, bytes; }} models_port;\n"
      "typedef struct {{\n  const char *input_file, *output_file;\n  int (*run)(uint8_t*, size_t);\n  int inputs, outputs;\n  const models_port* ports;\n}} models_row;\n\n",
      place, models.front().model->inputs.size(), models.size());
  std::string rows;
  for (std::size_t k = 0; k < models.size(); ++k) {
    const std::string& name = models[k].model->name;
    const Graph& g = models[k].model->model.graph;
    text += fmt::format("static int run_{0}(uint8_t* arena, size_t bytes) {{ return {1}_run(arena, bytes) == {2}_OK ? 0 : 1; }}\nstatic const models_port ports_{0}[] = {{{3}}};\n",
                        k, name, upper_case(name), ports_of(models[k]));
    rows += fmt::format("  {{\"inputs_{0}.bin\", \"outputs_{0}.bin\", run_{0}, {1}, {2}, ports_{0}}},\n", k, g.inputs().size(), g.outputs().size());
  }
  return text + "static const models_row table[MODEL_COUNT] = {\n" + rows + "};\n";
}

BuildResult build(const std::vector<Planned>& models, const Target& target, std::int64_t arena, const fs::path& emitted, const fs::path& work, const std::string& kind) {
  const fs::path sources = work / (kind + "_source");
  write_atomic(sources / "main.c", resource(fmt::format("runtime/harness/{}_main.c", kind)));
  write_atomic(sources / "models_table.h", table_header(models, target, arena));
  BuildOptions options;
  options.include_folders = {emitted};
  for (const Planned& p : models) options.extra_sources.push_back(emitted / (p.model->name + ".c"));
  return build_image(target, sources, work / (kind + "_build"), options);
}

std::vector<std::int8_t> on_host(const Model& model, const std::vector<std::vector<std::int8_t>>& inputs) {
  Int8Executor executor(model);
  std::vector<std::int8_t> all;
  for (const auto& input : inputs) {
    auto from = input.begin();
    for (std::size_t k = 0; k < model.graph.inputs().size(); ++k) {
      const std::span<std::int8_t> to = executor.input(k);
      std::copy_n(from, to.size(), to.begin());
      from += static_cast<std::ptrdiff_t>(to.size());
    }
    executor.run();
    for (std::size_t k = 0; k < model.graph.outputs().size(); ++k) {
      const std::span<const std::int8_t> out = executor.output(k);
      all.insert(all.end(), out.begin(), out.end());
    }
  }
  return all;
}

void check_inputs(const std::vector<ModelToDeploy>& models, bool emulate) {
  for (const ModelToDeploy& m : models) {
    std::int64_t bytes = 0;
    for (const Port& p : m.model.graph.inputs()) bytes += m.model.graph.shape(p.value).elements();
    if (m.inputs.size() != models.front().inputs.size() || (emulate && m.inputs.empty()))
      fail("deploy", "expected as many inputs for every model, at least one; '{}' has {}", m.name, m.inputs.size());
    for (const auto& input : m.inputs)
      if (static_cast<std::int64_t>(input.size()) != bytes) fail("deploy", "an input of '{}' has {} bytes; the model takes {}", m.name, input.size(), bytes);
  }
}

void compare(const Planned& p, const Bytes& core, std::size_t index, ModelsDeployment& d) {
  const std::vector<std::int8_t> host = on_host(p.model->model, p.model->inputs);
  ModelOfImage& m = d.models[index];
  m.outputs_compared = static_cast<std::int64_t>(p.model->inputs.size());
  if (core.size() != host.size()) fail("deploy", "expected {} output bytes of '{}' from the core, found {}", host.size(), m.name, core.size());
  const std::size_t each = host.size() / p.model->inputs.size();
  for (std::size_t i = 0; i < p.model->inputs.size(); ++i) {
    const auto begin = host.begin() + static_cast<std::ptrdiff_t>(i * each);
    const bool same = std::equal(begin, begin + static_cast<std::ptrdiff_t>(each), core.begin() + static_cast<std::ptrdiff_t>(i * each),
                                 [](std::int8_t a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
    m.outputs_identical += same;
    if (!same && d.first_difference.empty()) d.first_difference = fmt::format("'{}', outputs of input {}", m.name, i);
  }
}

void emulate(const std::vector<Planned>& models, const Target& machine, const fs::path& emitted, const fs::path& work, ModelsDeployment& d) {
  const BuildResult built = build(models, machine, d.arena_bytes, emitted, work, "models");
  const fs::path folder = work / "files";
  for (std::size_t k = 0; k < models.size(); ++k) {
    Bytes all;
    for (const auto& input : models[k].model->inputs)
      for (const std::int8_t b : input) all.push_back(static_cast<std::uint8_t>(b));
    write_atomic(folder / fmt::format("inputs_{}.bin", k), std::span<const std::uint8_t>(all));
  }
  const EmulatorResult result = run_on_emulator(machine, built.elf, {.folder = folder, .timeout_s = kSeconds});
  if (result.exit_status != 0) fail("deploy", "the program on {} ended with status {}: {}", machine.name, result.exit_status, result.output);
  std::size_t next = 0;
  for (const auto& [name, value] : result.reports)
    if (name == "instructions" && next < d.models.size()) d.models[next++].instructions = value;
  for (std::size_t k = 0; k < models.size(); ++k) compare(models[k], read_bytes(folder / fmt::format("outputs_{}.bin", k)), k, d);
}

// How many models' sources define each shared kernel.
std::int64_t count_shared(const std::vector<EmittedFile>& files, const BuildResult& built) {
  std::int64_t shared = 0;
  for (const ElfSymbol& symbol : built.image.symbols) {
    if (!symbol.function || !symbol.name.starts_with("mm_")) continue;
    const auto defines = [&](const EmittedFile& f) { return f.name.ends_with(".c") && f.name.find('/') == std::string::npos && f.content.find("_SHARED_KERNEL void " + symbol.name) != std::string::npos; };
    shared += std::count_if(files.begin(), files.end(), defines) > 1;
  }
  return shared;
}

}  // namespace

bool ModelsDeployment::identical() const {
  return first_difference.empty() && std::all_of(models.begin(), models.end(), [](const ModelOfImage& m) { return m.outputs_compared > 0 && m.outputs_identical == m.outputs_compared; });
}

ModelsDeployment deploy_models(const std::vector<ModelToDeploy>& models, const Target& target, const fs::path& folder, const DeployOptions& options) {
  check_deploy_tools(target, options.emulate);
  check_inputs(models, options.emulate);
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  std::vector<NamedModel> named;
  for (const ModelToDeploy& m : models)
    named.push_back({m.name, &m.model, {m.inputs.begin(), m.inputs.begin() + static_cast<std::ptrdiff_t>(std::min(m.inputs.size(), kStored))}});
  const std::vector<EmittedFile> files = emit_models(named);
  ModelsDeployment d;
  std::vector<Planned> planned;
  for (const ModelToDeploy& m : models) {
    const Cost cost = estimate_cost(m.model.graph, as_lowered(m.model.graph));
    planned.push_back({&m, cost.plan, cost.macs});
    d.models.push_back({m.name, m.model.graph.name, cost.plan.arena_bytes, cost.macs, 0, 0, 0});
    d.arena_bytes = std::max(d.arena_bytes, cost.plan.arena_bytes);
  }
  const Target machine = options.emulate ? emulation_target(target) : target;
  d.target = target.name;
  d.core = core_name(target.core);
  d.machine = machine.emulator ? machine.emulator->machine : "";
  d.compiler = cross_compiler_version(target);
  d.arena_bank = arena_bank(target, d.arena_bytes).name;
  write_files(files, folder);
  const TemporaryFolder work("micromind-deploy");
  say(fmt::format("building {} models for {}", models.size(), target.name));
  const fs::path emitted = fs::absolute(folder);
  const BuildResult built = build(planned, target, d.arena_bytes, emitted, work.path(), "models_size");
  d.flash_bytes = built.flash_bytes;
  for (const ElfSymbol& s : built.image.symbols)
    if (s.function && is_kernel_function(s.name)) d.kernel_bytes += s.bytes;
  d.shared_kernels = count_shared(files, built);
  if (options.emulate) {
    say(fmt::format("running {} inputs of each on {} ({})", models.front().inputs.size(), d.machine, d.core));
    emulate(planned, machine, emitted, work.path(), d);
  }
  return d;
}

nlohmann::json to_json(const ModelsDeployment& d) {
  nlohmann::json models = nlohmann::json::array();
  for (const ModelOfImage& m : d.models)
    models.push_back({{"name", m.name}, {"network", m.network}, {"arena_bytes", m.arena_bytes}, {"macs", m.macs}, {"instructions", m.instructions},
                      {"outputs_compared", m.outputs_compared}, {"outputs_identical", m.outputs_identical}});
  return {{"target", d.target}, {"core", d.core}, {"machine", d.machine}, {"compiler", d.compiler}, {"arena_bytes", d.arena_bytes}, {"arena_bank", d.arena_bank},
          {"flash_bytes", d.flash_bytes}, {"kernel_bytes", d.kernel_bytes}, {"shared_kernels", d.shared_kernels}, {"first_difference", d.first_difference}, {"models", std::move(models)}};
}

std::string models_table(const ModelsDeployment& d) {
  std::vector<std::vector<std::string>> rows = {{"model", "network", "MACs", "arena B", "instructions", "identical"}};
  for (const ModelOfImage& m : d.models)
    rows.push_back({m.name, m.network, format_count(m.macs), format_count(m.arena_bytes), m.instructions > 0 ? format_count(m.instructions) : "–",
                    m.outputs_compared > 0 ? fmt::format("{} of {}", m.outputs_identical, m.outputs_compared) : "–"});
  return format_table(rows);
}

}  // namespace micromind
