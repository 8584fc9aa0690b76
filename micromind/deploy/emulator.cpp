#include "micromind/deploy/emulator.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "micromind/base/error.h"
#include "micromind/base/process.h"
#include "micromind/deploy/architecture.h"
#include "micromind/deploy/elf.h"
#include "micromind/deploy/fault.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kExitMark = "!exit\n";  // semihosting.c
constexpr std::size_t kTail = 600;                 // characters of output that an error shows

std::string tail(const std::string& text) {
  if (text.empty()) return "it printed nothing";
  return "it printed: " + (text.size() <= kTail ? text : "…" + text.substr(text.size() - kTail));
}

}  // namespace

std::vector<std::string> emulator_command(const Target& target, const fs::path& elf, const std::string& serial) {
  const Emulator& emulator = *target.emulator;
  std::vector<std::string> command = {emulator_program(target.core),
                                      "-M",
                                      emulator.machine,
                                      "-kernel",
                                      elf.string(),
                                      "-display",
                                      "none",
                                      "-serial",
                                      serial,
                                      "-monitor",
                                      "none",
                                      "-chardev",
                                      "file,id=guest,path=/dev/stdout",
                                      "-semihosting-config",
                                      "enable=on,target=native,chardev=guest",
                                      "-icount",
                                      fmt::format("shift={},align=off,sleep=off", kInstructionShift)};
  const std::vector<std::string>& more = architecture_of(target.core).emulator_options;
  command.insert(command.end(), more.begin(), more.end());
  if (!emulator.cpu.empty()) command.insert(command.end(), {"-cpu", emulator.cpu});
  for (const std::string& property : emulator.properties)
    command.insert(command.end(), {"-global", property});
  return command;
}

namespace {

std::vector<std::pair<std::string, std::int64_t>> read_reports(std::string_view output) {
  std::vector<std::pair<std::string, std::int64_t>> reports;
  while (!output.empty()) {
    const std::string_view line = output.substr(0, output.find('\n'));
    output.remove_prefix(std::min(output.size(), line.size() + 1));
    const auto space = line.find(' ');
    if (!line.starts_with('@') || space == std::string_view::npos || space < 2) continue;
    std::int64_t value = 0;
    const char* end = line.data() + line.size();
    const auto [rest, error] = std::from_chars(line.data() + space + 1, end, value);
    if (error == std::errc{} && rest == end) reports.emplace_back(line.substr(1, space - 1), value);
  }
  return reports;
}

}  // namespace

std::int64_t EmulatorResult::report(std::string_view name) const {
  std::string names;
  for (auto it = reports.rbegin(); it != reports.rend(); ++it) {
    if (it->first == name) return it->second;
    names += " " + it->first;
  }
  fail("emulator", "the guest reported no '{}'; it reported{}; {}", name, names.empty() ? " nothing" : names,
       tail(output));
}

void need_emulator(const Target& target) {
  const std::string program = emulator_program(target.core);
  if (!find_program(program))
    fail_with_hint("emulator", fmt::format("install it: apt install {}", architecture_of(target.core).emulator_package),
                   "the emulator {} is not in PATH", program);
}

EmulatorResult run_on_emulator(const Target& target, const fs::path& elf, const EmulatorOptions& options) {
  if (!target.emulator)
    fail_with_hint("emulator", "build and run with emulation_target()", "{} is no emulated machine",
                   target.name);
  need_emulator(target);
  const ElfImage image = read_elf(elf);
  std::error_code error;
  if (!options.folder.empty() && !fs::is_directory(options.folder, error))
    fail("emulator", "{} is no folder for the guest's files", options.folder.string());

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::string> command = emulator_command(target, fs::absolute(elf));
  command.insert(command.end(), options.arguments.begin(), options.arguments.end());
  ProcessResult process = run_process(command, {.folder = options.folder, .timeout_s = options.timeout_s});
  if (process.timed_out)
    fail("emulator", "the guest did not finish within {} s; {}", options.timeout_s, tail(process.out));
  if (const auto fault = explain_fault(process.out, image)) fail("emulator", "the guest faulted: {}", *fault);
  // An orderly end is announced; without it the status is QEMU's own (a refused image, a core that locked
  // up).
  if (!process.out.ends_with(kExitMark))
    fail("emulator", "QEMU stopped with status {} and the guest did not end: {}; {}", process.exit_status,
         process.err.substr(0, kTail), tail(process.out));
  process.out.resize(process.out.size() - kExitMark.size());

  EmulatorResult result;
  result.exit_status = process.exit_status;
  result.reports = read_reports(process.out);
  result.output = std::move(process.out);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace micromind
