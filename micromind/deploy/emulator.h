// Runs an image on an emulated core (QEMU: Cortex-M, RISC-V) and collects what it printed.
//
//   const EmulatorResult run = run_on_emulator(target, built.elf, {.folder = exchange});
//   run.report("instructions")          // what the guest passed to mm_report("instructions", …)
//
// The guest reads and writes files of `folder` through semihosting (board/semihosting.h), so inputs and
// outputs need no place in the image. Emulated time advances by kInstructionNs an executed instruction and by
// nothing else, so a run is exactly repeatable (board/instruction_clock.h). What runs is trusted: semihosting
// lets the guest open any file that the user can. A fault or a missing end is an Error, so that a status is
// the guest's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "micromind/targets/target.h"

namespace micromind {

inline constexpr int kInstructionShift = 6;                             ///< QEMU's -icount shift
inline constexpr std::int64_t kInstructionNs = 1 << kInstructionShift;  ///< emulated time an instruction

struct EmulatorOptions {
  std::filesystem::path folder;  ///< where the guest's file names start; empty = the caller's working folder
  double timeout_s = 120;        ///< of the PC's time
  std::vector<std::string> arguments = {};  ///< of QEMU, besides our own (profile.h)
};

struct EmulatorResult {
  int exit_status = 0;  ///< low byte of what main() returned; not 0 is the guest's own affair
  std::string output;   ///< all that the guest printed, reports included
  double seconds = 0;   ///< of the PC's time
  std::vector<std::pair<std::string, std::int64_t>> reports;  ///< "@name value" lines in their order

  /// The last report of that name. Throws Error (naming what was reported) when there is none.
  std::int64_t report(std::string_view name) const;
};

/// Throws Error, naming the package, when the QEMU of the target's core is missing.
void need_emulator(const Target& target);

/// QEMU's command line for an emulated machine. Guest output goes to standard output, QEMU's own complaints to
/// standard error; `serial` is what the machine's first serial port is connected to (QEMU's -serial).
std::vector<std::string> emulator_command(const Target& target, const std::filesystem::path& elf,
                                          const std::string& serial = "null");

/// `target` is an emulated machine or the emulation_target() of a board, and `elf` was built for it.
/// Throws Error when QEMU is missing (naming the package) or refuses the image, when the guest does not
/// finish in time (with the end of its output) and when it faults (with cause, function and registers).
EmulatorResult run_on_emulator(const Target& target, const std::filesystem::path& elf,
                               const EmulatorOptions& options = {});

}  // namespace micromind
