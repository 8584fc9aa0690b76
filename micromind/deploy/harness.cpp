#include "micromind/deploy/harness.h"

#include <algorithm>
#include <future>
#include <iterator>
#include <numeric>
#include <span>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/cost/cost.h"
#include "micromind/deploy/emit_names.h"
#include "micromind/deploy/emit_program.h"
#include "micromind/deploy/emulator.h"
#include "micromind/deploy/profile.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kHarnessFlash =
    16 * 1024;                                   // what measuring may add to a board's flash on the emulator
constexpr std::int64_t kGuardBytes = 64, kSlack = 1024;  // behind the arena; left for the programs' own variables
constexpr double kInstructionsPerSecond = 20e6;  // of the emulator, at the least
constexpr double kInstructionsPerMac = 60;       // of the kernels, at the most

std::string rows(const Harness& h, const std::vector<Port>& ports, std::string_view array) {
  std::string text = fmt::format("static const struct {{ int bank; size_t offset, bytes; }} {}[] = {{", array);
  for (const Port& port : ports) {
    const Placement& p = h.plan.placements[static_cast<std::size_t>(port.value)];
    text += fmt::format("{{{}, {}, {}}}, ", p.bank, p.offset, p.bytes);
  }
  return text + "};\n";
}

std::int64_t total_bytes(const Graph& graph, const std::vector<Port>& ports) {
  return std::accumulate(ports.begin(), ports.end(), std::int64_t{0}, [&](std::int64_t sum, const Port& p) {
    return sum + graph.shape(p.value).elements();
  });
}

std::string ports_header(const Harness& h, const Target& target, bool with_tables) {
  const Graph& g = h.model.graph;
  const std::vector<std::string> banks = h.banks.empty() ? std::vector<std::string>{arena_bank(target, h.plan.arena_bytes).name} : h.banks;
  const auto place = [&](std::size_t k) {
    return banks[k] == target.main_bank().name ? "" : fmt::format("__attribute__((section(\".ram.{}\")))", banks[k]);
  };
  std::string text = fmt::format("#include <stddef.h>\n\n#define ARENA_PLACE {}\n", place(0)), bases, arguments;
  for (std::size_t k = 1; k < banks.size(); ++k) {
    text += fmt::format("{0} static model_arena_{1} arena_{1};\n", place(k), k);
    bases += fmt::format(", arena_{}.bytes", k);
    arguments += fmt::format(", arena_{0}.bytes, sizeof arena_{0}.bytes", k);
  }
  text += fmt::format("#define MORE_BASES {}\n#define MORE_ARGUMENTS {}\n", bases, arguments);
  if (!with_tables) return text;
  // Guard bytes behind the arena, as far as the bank has room beside it: a byte there is an overrun found.
  const std::int64_t room = place_arena(target, h.plan.arena_bytes).room() - h.plan.arena_bytes - kSlack;
  text += fmt::format("#define ARENA_GUARD {}\n", std::clamp<std::int64_t>(room, 0, kGuardBytes) / 8 * 8);
  text += fmt::format("#define INPUT_COUNT {}\n#define OUTPUT_COUNT {}\n#define INPUT_BYTES {}u\n",
                      g.inputs().size(), g.outputs().size(), total_bytes(g, g.inputs()));
  return text + rows(h, g.inputs(), "inputs") + rows(h, g.outputs(), "outputs");
}

BuildResult build(const Harness& h, const Target& target, const std::string& kind,
                  std::vector<std::string> defines) {
  const fs::path sources = h.work / (kind + "_source");
  write_atomic(sources / "main.c", with_prefix(std::string(resource(fmt::format("runtime/harness/{}_main.c", kind))), h.prefix));
  if (kind == "run" || kind == "trace" || kind == "profile") write_atomic(sources / "arena.h", with_prefix(std::string(resource("runtime/harness/arena.h")), h.prefix));
  write_atomic(sources / "ports.h", ports_header(h, target, kind != "size" && kind != "serial"));
  BuildOptions options;
  options.include_folders = {h.emitted};
  options.extra_sources = {h.emitted / (h.prefix + ".c")};
  if (kind == "serial") options.extra_sources.push_back(h.emitted / "serial" / (h.prefix + "_serial.c"));
  options.defines = std::move(defines);
  return build_image(target, sources, h.work / (kind + "_build"), options);
}

// The measuring code around the model may use a little more flash than the board has, where the machine has
// it.
Target with_room(Target target) {
  if (!target.emulator) return target;
  for (const std::string& name : target_names()) {
    const Target machine = load_target(name);
    if (machine.emulator && machine.emulator->machine == target.emulator->machine)
      target.flash.bytes =
          std::max(target.flash.bytes, std::min(target.flash.bytes + kHarnessFlash, machine.flash.bytes));
  }
  return target;
}

void write_inputs(const fs::path& file, const std::vector<ByteTensor>& inputs) {
  std::vector<std::uint8_t> all;
  for (const ByteTensor& input : inputs)
    for (const std::int8_t b : input) all.push_back(static_cast<std::uint8_t>(b));
  write_atomic(file, std::span<const std::uint8_t>(all));
}

double patience_s(const Harness& h, std::size_t runs) {
  const Graph& g = h.model.graph;
  double work = 1e6;
  for (const Node& node : g.nodes())
    work +=
        kInstructionsPerMac * static_cast<double>(macs(node.op, g.input_shapes(node), g.output_shapes(node)) +
                                                  g.shape(node.outputs[0]).elements());
  return 60 + work * static_cast<double>(runs + 2) / kInstructionsPerSecond;
}

void check_status(const Target& target, const EmulatorResult& result) {
  if (result.exit_status == 0) return;
  static constexpr std::string_view reasons[] = {"cannot read its inputs", "cannot write its outputs",
                                                 "model_run() refused its arena"};
  const int reason = result.exit_status - 2;
  fail("deploy", "the program on {} ended with status {} ({}): {}", target.name, result.exit_status,
       reason >= 0 && reason < 3 ? reasons[reason] : "unknown", result.output);
}

EmulatorResult emulate(const Harness& h, const Target& target, const BuildResult& built,
                       const fs::path& folder, std::size_t runs) {
  EmulatorResult result =
      run_on_emulator(target, built.elf, {.folder = folder, .timeout_s = patience_s(h, runs)});
  check_status(target, result);
  return result;
}

// Cuts the file's bytes into the tensors of the given sizes.
std::vector<ByteTensor> read_tensors(const fs::path& file, const std::vector<std::int64_t>& sizes) {
  const Bytes bytes = read_bytes(file);
  const std::int64_t expected = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  if (static_cast<std::int64_t>(bytes.size()) != expected)
    fail("deploy", "{}: expected {} bytes from the core, found {}", file.filename().string(), expected,
         bytes.size());
  std::vector<ByteTensor> tensors;
  auto from = bytes.begin();
  for (const std::int64_t size : sizes) {
    tensors.emplace_back(from, from + size);
    from += size;
  }
  return tensors;
}

CoreRun run_some(const Harness& h, const Target& target, const BuildResult& built, const std::string& name,
                 const std::vector<ByteTensor>& inputs) {
  const fs::path folder = h.work / name;
  write_inputs(folder / "inputs.bin", inputs);
  const EmulatorResult result = emulate(h, target, built, folder, inputs.size());
  const std::vector<std::int64_t> sizes(inputs.size(), total_bytes(h.model.graph, h.model.graph.outputs()));
  return {read_tensors(folder / "outputs.bin", sizes), result.report("instructions"),
          result.report("instructions_most"), result.report("stack_bytes"), result.report("arena_used_bytes")};
}

}  // namespace

const MemoryBank& arena_bank(const Target& target, std::int64_t arena_bytes) {
  const ArenaPlace place = place_arena(target, arena_bytes);
  if (place.fits) return *place.bank;
  fail_with_hint("deploy", "a smaller network or input; `micromind inspect` names the layer with most live bytes",
                 "the model does not fit {}: its arena takes {}, and bank '{}' has room for {} ({} bytes too few)", target.name,
                 format_bytes(arena_bytes), place.bank->name, format_bytes(place.room()), format_count(arena_bytes - place.room()));
}

BuildResult build_size_image(const Harness& harness, const Target& target) {
  return build(harness, target, "size", {});
}

BuildResult build_serial_image(const Harness& harness, const Target& target, std::uint32_t uart_address, bool trace) {
  std::vector<std::string> defines = {fmt::format("UART_BASE=0x{:08x}u", uart_address)};
  if (trace) defines.emplace_back(upper_case(harness.prefix) + "_TRACE");
  return build(harness, with_room(target), "serial", std::move(defines));
}

CoreRun run_on_core(const Harness& h, const Target& emulated, const std::vector<ByteTensor>& inputs) {
  const Target target = with_room(emulated);
  const BuildResult built = build(h, target, "run", {});
  // Inputs are independent of each other, so several emulators share them.
  const std::size_t parts =
      std::clamp<std::size_t>(inputs.size() / 4, 1, std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
  const auto run_part = [&](std::size_t part) {
    const auto at = [&](std::size_t k) {
      return inputs.begin() + static_cast<std::ptrdiff_t>(inputs.size() * k / parts);
    };
    return run_some(h, target, built, fmt::format("run_files_{}", part), {at(part), at(part + 1)});
  };
  std::vector<std::future<CoreRun>> others;
  for (std::size_t part = 1; part < parts; ++part)
    others.push_back(std::async(std::launch::async, run_part, part));
  CoreRun all = run_part(0);
  for (std::future<CoreRun>& other : others) {
    CoreRun run = other.get();
    all.instructions_most = std::max(all.instructions_most, run.instructions_most);
    std::move(run.outputs.begin(), run.outputs.end(), std::back_inserter(all.outputs));
  }
  return all;
}

CoreTrace trace_on_core(const Harness& h, const Target& emulated, const std::vector<ByteTensor>& inputs) {
  const Target target = with_room(emulated);
  const BuildResult built = build(h, target, "trace", {upper_case(h.prefix) + "_TRACE"});
  const fs::path folder = h.work / "trace_files";
  write_inputs(folder / "inputs.bin", inputs);
  const EmulatorResult result = emulate(h, target, built, folder, inputs.size());
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (const Node& node : h.model.graph.nodes())
      for (const int v : node.outputs) sizes.push_back(h.model.graph.shape(v).elements());
  const std::size_t events = sizes.size() / inputs.size();
  std::vector<ByteTensor> all = read_tensors(folder / "trace.bin", sizes);
  CoreTrace trace;
  for (auto from = all.begin(); from != all.end(); from += static_cast<std::ptrdiff_t>(events))
    trace.values.emplace_back(std::make_move_iterator(from), std::make_move_iterator(from + static_cast<std::ptrdiff_t>(events)));
  for (const auto& [name, value] : result.reports)
    if (name == "layer_instructions") trace.instructions.push_back(value);
  if (trace.instructions.size() != events)
    fail("deploy", "expected figures of {} layer outputs from the core, found {}", events, trace.instructions.size());
  return trace;
}

ChipValues chip_values(CoreRun run, CoreTrace trace) {
  return {std::move(run.outputs), std::move(trace.values), std::move(trace.instructions)};
}

std::vector<InstructionCounts> profile_outputs_on_core(const Harness& h, const Target& emulated,
                                                       const ByteTensor& input) {
  const Target target = with_room(emulated);
  const BuildResult built = build(h, target, "profile", {upper_case(h.prefix) + "_TRACE"});
  const fs::path folder = h.work / "profile_files";
  write_inputs(folder / "inputs.bin", {input});
  const ProfiledRun run = profile_on_emulator(
      target, built, {.folder = folder, .timeout_s = patience_s(h, 1)}, {h.prefix + "_trace"});
  check_status(target, run.result);
  std::size_t outputs = 0;
  for (const Node& node : h.model.graph.nodes()) outputs += node.outputs.size();
  if (run.regions.size() != outputs)
    fail("profile", "expected counts of {} layer outputs from the core, found {}", outputs, run.regions.size());
  return run.regions;
}

}  // namespace micromind
