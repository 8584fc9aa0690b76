#include "micromind/deploy/profile.h"

#include <cstdlib>
#include <sstream>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPlugin = "micromind_instructions.so";

std::string escape_commas(const std::string& text) {  // QEMU's options end at a comma; two are one
  std::string out;
  for (const char c : text) out += c == ',' ? std::string(",,") : std::string(1, c);
  return out;
}

const ElfSymbol& function(const ElfImage& image, const std::string& name) {
  const ElfSymbol* symbol = image.symbol(name);
  if (symbol == nullptr) fail("profile", "the image has no function '{}'", name);
  return *symbol;
}

std::vector<InstructionCounts> read_counts(const fs::path& file) {
  std::vector<InstructionCounts> regions;
  std::istringstream text(read_text(file));
  for (std::string line; std::getline(text, line);) {
    std::istringstream numbers(line);
    InstructionCounts counts;
    InstructionCounts::figures(counts, [&](std::uint64_t& figure) { numbers >> figure; });
    if (!numbers) fail("profile", "the plugin wrote '{}', expected {} numbers", line, kInstructionFigures);
    regions.push_back(counts);
  }
  return regions;
}

}  // namespace

fs::path plugin_file() {
  std::error_code error;
  if (const char* named = std::getenv("MICROMIND_PLUGIN"); named != nullptr && *named != '\0') {
    if (fs::is_regular_file(named, error)) return fs::absolute(named);
    fail("profile", "MICROMIND_PLUGIN={}: no such file", named);
  }
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::string tried;
  for (const fs::path& folder : {here, here / MICROMIND_PLUGIN_FOLDER}) {
    const fs::path file = (folder / kPlugin).lexically_normal();
    if (fs::is_regular_file(file, error)) return file;
    tried += (tried.empty() ? "" : ", ") + file.string();
  }
  fail_with_hint("profile", "set MICROMIND_PLUGIN to its path; it is built beside the program",
                 "the plugin that counts instructions is not there; tried {}", tried);
}

bool has_plugin() {
  try {
    return !plugin_file().empty();
  } catch (const Error&) {
    return false;
  }
}

ProfiledRun profile_on_emulator(const Target& target, const BuildResult& built,
                                const EmulatorOptions& options, const std::vector<std::string>& uncounted) {
  if (!is_cortex_m(target.core))
    fail_with_hint("profile", "its instructions are counted all the same: micromind validate, micromind deploy --emulate",
                   "instructions by class are counted for Cortex-M; the core of {} is {}", target.name, core_name(target.core));
  const ElfSymbol& start = function(built.image, "mm_profile_start");
  const ElfSymbol& stop = function(built.image, "mm_profile_stop");
  const TemporaryFolder folder("micromind-profile");
  const fs::path out = folder.path() / "counts.txt";
  std::string plugin = fmt::format("file={},start={},stop={},out={}", escape_commas(plugin_file().string()),
                                   start.address, stop.address, escape_commas(out.string()));
  std::vector<const ElfSymbol*> silent = {&start, &stop};
  for (const std::string& name : uncounted) silent.push_back(&function(built.image, name));
  for (const ElfSymbol* s : silent) plugin += fmt::format(",exclude={}:{}", s->address, s->bytes);
  EmulatorOptions with_plugin = options;
  with_plugin.arguments.insert(with_plugin.arguments.end(), {"-plugin", plugin});
  ProfiledRun run{run_on_emulator(target, built.elf, with_plugin), {}};
  run.regions = read_counts(out);
  return run;
}

std::vector<InstructionCounts> profile_layers(const Harness& harness, const Target& target,
                                              const ByteTensor& input) {
  const std::vector<InstructionCounts> outputs = profile_outputs_on_core(harness, target, input);
  std::vector<InstructionCounts> layers;
  std::size_t event = 0;
  for (const Node& node : harness.model.graph.nodes()) {
    layers.emplace_back();
    for (std::size_t k = 0; k < node.outputs.size(); ++k) layers.back() += outputs.at(event++);
  }
  return layers;
}

}  // namespace micromind
