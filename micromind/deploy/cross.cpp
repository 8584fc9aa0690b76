#include "micromind/deploy/cross.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <numeric>
#include <regex>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/deploy/architecture.h"
#include "micromind/deploy/emulator.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kBoards = "runtime/boards/", kCommon = "common/";
constexpr std::string_view kStackSection = ".stack", kExternalSection = ".xflash";

std::string linker_script(const Target& target) {
  std::string text = fmt::format("/* Generated for {}. */\nMEMORY\n{{\n", target.name);
  const auto region = [&](std::string_view name, std::string_view access, std::uint32_t address,
                          std::int64_t bytes) {
    text += fmt::format("  {} ({}) : ORIGIN = 0x{:08x}, LENGTH = {}\n", name, access, address, bytes);
  };
  region("flash", "rx", target.flash.address, target.flash.bytes);
  if (target.vectors_address) region("vectors", "rx", *target.vectors_address, 1024);
  for (const MemoryBank& bank : target.ram) region("ram_" + bank.name, "rw", bank.address, bank.bytes);
  if (target.external_flash) region("xflash", "r", target.external_flash->address, target.external_flash->bytes);
  text += fmt::format(
      "}}\nREGION_ALIAS(\"VECTORS\", {})\nREGION_ALIAS(\"RAM\", ram_{})\nmm_stack_bytes = {};\n\n",
      target.vectors_address ? "vectors" : "flash", target.main_bank().name, target.stack_bytes);
  text += "INCLUDE sections.ld\n\nSECTIONS\n{\n";
  if (target.external_flash) text += fmt::format("  {0} : ALIGN(8) {{ *({0} {0}.*) . = ALIGN(8); }} > xflash\n", kExternalSection);
  for (const MemoryBank& bank : target.ram)
    text += fmt::format("  .ram.{0} (NOLOAD) : ALIGN(8) {{ *(.ram.{0} .ram.{0}.*) }} > ram_{0}\n", bank.name);
  return text + "}\n";
}

// The ratio of a tick of the clock to an instruction, reduced so that the division on the chip is by a power of
// two.
std::string machine_header(const Target& target) {
  std::int64_t tick = 1, instruction = 1;
  if (target.emulator) {
    tick = std::max<std::int64_t>(1, std::llround(target.emulator->tick_ns * 1000));
    instruction = kInstructionNs * 1000;
    const std::int64_t common = std::gcd(tick, instruction);
    tick /= common;
    instruction /= common;
  }
  return fmt::format(
      "/* Generated for {}: instructions = ticks * numerator / denominator (1/1: ticks are cycles). "
      "*/\n"
      "#ifndef MM_MACHINE_H\n#define MM_MACHINE_H\n\n#define MM_CLOCK_NUMERATOR {}u\n#define "
      "MM_CLOCK_DENOMINATOR {}u\n\n"
      "#endif\n",
      target.name, tick, instruction);
}

void write_changed(const fs::path& path, std::string_view content) {
  std::error_code error;
  if (fs::exists(path, error) && read_text(path) == content) return;
  write_atomic(path, content);
}

std::vector<fs::path> c_files_below(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) fail("cross", "{} is no folder of C sources", folder.string());
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".c" && it->is_regular_file(error)) files.push_back(it->path());
  if (error) fail("cross", "cannot read the folder {}: {}", folder.string(), error.message());
  std::sort(files.begin(), files.end());  // the order of the image
  return files;
}

std::vector<std::string> compile_command(const Target& target, const fs::path& sources, const fs::path& build,
                                         const BuildOptions& options) {
  const Architecture& architecture = architecture_of(target.core);
  std::vector<std::string> command = {architecture.compiler};
  command.insert(command.end(), target.compiler_flags.begin(), target.compiler_flags.end());
  for (const char* flag : {"-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror",
                           "-ffunction-sections", "-fdata-sections", "-c"})
    command.emplace_back(flag);
  command.push_back(options.optimisation);
  if (!architecture.c_library) command.push_back("-I" + (build / "board" / "include").string());
  command.push_back("-I" + build.string());
  command.push_back("-I" + sources.string());
  for (const fs::path& folder : options.include_folders)
    command.push_back("-I" + fs::absolute(folder).string());
  for (const std::string& define : options.defines) command.push_back("-D" + define);
  return command;
}

void compile(std::vector<std::string> command, const fs::path& source, const fs::path& object,
             double timeout_s) {
  command.insert(command.end(), {source.string(), "-o", object.string()});
  const ProcessResult result = run_process(command, {.folder = {}, .timeout_s = timeout_s});
  if (result.timed_out) fail("cross", "{}: the compiler ran longer than {} s", source.string(), timeout_s);
  if (result.exit_status != 0) fail("cross", "{} does not compile:\n{}", source.string(), result.err);
}

std::vector<fs::path> compile_all(const std::vector<std::string>& command,
                                  const std::vector<fs::path>& sources, const fs::path& folder,
                                  double timeout_s) {
  std::vector<fs::path> objects;
  for (std::size_t i = 0; i < sources.size(); ++i)
    objects.push_back(folder / fmt::format("{:03}-{}.o", i, sources[i].stem().string()));
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto work = [&] {
    for (std::size_t i; (i = next.fetch_add(1)) < sources.size();) try {
        compile(command, sources[i], objects[i], timeout_s);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = sources.size();
      }
  };
  std::vector<std::jthread> threads(std::clamp(std::thread::hardware_concurrency(), 1u, 8u) - 1);
  for (std::jthread& thread : threads) thread = std::jthread(work);
  work();
  threads.clear();  // joins
  if (failure) std::rethrow_exception(failure);
  return objects;
}

// ld says "region `ram_axi' overflowed by 1234 bytes" for each memory that is too small.
void fail_link(const Target& target, const std::string& message) {
  static const std::regex pattern("region `([a-z0-9_]+)' overflowed by ([0-9]+) bytes");
  std::string text;
  for (std::sregex_iterator it(message.begin(), message.end(), pattern), end; it != end; ++it) {
    const std::string region = (*it)[1];
    const MemoryBank* bank = region == "flash" ? &target.flash : nullptr;
    if (region == "xflash" && target.external_flash) bank = &*target.external_flash;
    for (const MemoryBank& ram : target.ram)
      if (region == "ram_" + ram.name) bank = &ram;
    if (bank == nullptr) continue;
    text += fmt::format("{}{} of {} ({}) is too small by {} bytes", text.empty() ? "" : "; ",
                        bank == &target.flash ? "the flash"
                        : region == "xflash"  ? "the external flash"
                                              : fmt::format("RAM bank '{}'", bank->name),
                        target.name, format_bytes(bank->bytes), format_count(std::stoll((*it)[2])));
  }
  if (text.empty()) fail("cross", "the image for {} does not link:\n{}", target.name, message);
  fail_with_hint("cross",
                 "a smaller network, or move variables to another bank with section(\".ram.<bank>\")",
                 "the image does not fit: {}", text);
}

void link(const Target& target, const fs::path& build, const std::vector<fs::path>& objects,
          double timeout_s) {
  const Architecture& architecture = architecture_of(target.core);
  std::vector<std::string> command = {architecture.compiler};
  command.insert(command.end(), target.compiler_flags.begin(), target.compiler_flags.end());
  command.insert(command.end(),
                 {"-nostartfiles", "-nostdlib", "-Wl,--gc-sections", "-Wl,--orphan-handling=error",
                  "-Wl,--no-warn-rwx-segments", "-L" + (build / "board").string(),
                  "-T" + (build / "board" / "memory.ld").string(), "-o", (build / "image.elf").string()});
  for (const fs::path& object : objects) command.push_back(object.string());
  command.insert(command.end(), {"-Wl,--start-group", "-lgcc"});
  if (architecture.c_library) command.insert(command.end(), {"-lc", "-lm"});
  command.emplace_back("-Wl,--end-group");
  const ProcessResult result = run_process(command, {.folder = {}, .timeout_s = timeout_s});
  if (result.timed_out) fail("cross", "linking for {} took longer than {} s", target.name, timeout_s);
  if (result.exit_status != 0) fail_link(target, result.err);
}

void measure(const Target& target, BuildResult& result) {
  for (const MemoryBank& bank : target.ram) result.banks.push_back({bank.name, 0, bank.bytes});
  for (const ElfSection& section : result.image.sections) {
    if (!section.allocated || section.bytes == 0) continue;
    if (section.name == kStackSection) {
      result.stack += section.bytes;
    } else if (section.name == kExternalSection) {
      result.external_flash_bytes += section.bytes;
    } else if (!section.in_file) {
      result.bss += section.bytes;
    } else {
      (section.writable ? result.data : result.text) += section.bytes;
    }
    for (std::size_t i = 0; i < target.ram.size(); ++i) {
      const std::int64_t offset = std::int64_t{section.address} - target.ram[i].address;
      const bool in_ram = section.writable || !section.in_file;
      if (in_ram && offset >= 0 && offset < target.ram[i].bytes)
        result.banks[i].used = std::max(result.banks[i].used, offset + section.bytes);
    }
  }
  result.flash_bytes = result.text + result.data;
}

}  // namespace

std::vector<fs::path> write_board_support(const Target& target, const fs::path& folder) {
  std::vector<fs::path> sources;
  const std::string own = std::string(architecture_of(target.core).name) + "/";
  for (const CarriedFile& file : resources()) {
    if (!file.name.starts_with(kBoards)) continue;
    const std::string_view name = file.name.substr(kBoards.size());
    const std::string_view room = name.starts_with(kCommon) ? kCommon : std::string_view(own);
    if (!name.starts_with(room)) continue;
    const fs::path path = folder / name.substr(room.size());
    write_changed(path, file.content);
    if (path.extension() == ".c") sources.push_back(path);
  }
  write_changed(folder / "memory.ld", linker_script(target));
  write_changed(folder / "machine.h", machine_header(target));
  std::sort(sources.begin(), sources.end());
  return sources;
}

BuildResult build_image(const Target& target, const fs::path& sources_folder, const fs::path& build_folder,
                        const BuildOptions& options) {
  need_buildable(target);
  static const std::vector<std::string> levels = {"-O0", "-O1", "-O2", "-O3", "-Os"};
  if (std::find(levels.begin(), levels.end(), options.optimisation) == levels.end())
    fail_with_hint("cross", name_hint(options.optimisation, levels), "unknown optimisation level '{}'",
                   options.optimisation);
  need_cross_compiler(target);
  const fs::path build = fs::absolute(build_folder), folder = fs::absolute(sources_folder);
  std::vector<fs::path> sources = c_files_below(folder);
  for (const fs::path& extra : options.extra_sources) sources.push_back(fs::absolute(extra));
  if (sources.empty()) fail("cross", "{} has no .c file", folder.string());
  for (fs::path& file : write_board_support(target, build / "board")) sources.push_back(std::move(file));

  const fs::path object_folder = build / "objects";
  std::error_code error;
  fs::create_directories(object_folder, error);
  if (error) fail("cross", "cannot make the folder {}: {}", object_folder.string(), error.message());
  const auto objects =
      compile_all(compile_command(target, folder, build, options), sources, object_folder, options.timeout_s);
  link(target, build, objects, options.timeout_s);

  BuildResult result;
  result.elf = build / "image.elf";
  result.image = read_elf(result.elf);
  measure(target, result);
  return result;
}

void need_buildable(const Target& target) {
  architecture_of(target.core);
}

void need_cross_compiler(const Target& target) {
  const Architecture& architecture = architecture_of(target.core);
  if (!find_program(architecture.compiler))
    fail_with_hint("cross", fmt::format("install it: apt install {}", architecture.compiler_packages),
                   "the cross compiler {} is not in PATH", architecture.compiler);
}

std::string cross_compiler_version(const Target& target) {
  need_cross_compiler(target);
  const std::string text =
      run_process({architecture_of(target.core).compiler, "--version"}, {.folder = {}, .timeout_s = 30}).out;
  return text.substr(0, text.find('\n'));
}

}  // namespace micromind
