// Instructions by class on an emulated core, layer by layer.
//
//   const std::vector<InstructionCounts> layers = profile_layers(harness, emulation_target(board), input);
//   layers[i].loads(), layers[i][InstructionClass::multiply_accumulate], …
//
// QEMU counts through a plugin of ours (micromind/plugin): what was executed, exactly; no caches, no wait
// states. How many cycles that may take is a model: cycle_model.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "micromind/deploy/emulator.h"
#include "micromind/deploy/harness.h"
#include "micromind/deploy/instruction_classes.h"

namespace micromind {

/// The plugin: MICROMIND_PLUGIN, else beside the running program, else where `make install` puts it relative
/// to that. Throws Error that names the places when it is nowhere.
std::filesystem::path plugin_file();
bool has_plugin();  ///< whether plugin_file() finds it

struct ProfiledRun {
  EmulatorResult result;
  std::vector<InstructionCounts>
      regions;  ///< one a pair of mm_profile_start() and mm_profile_stop(), in order
};

/// Runs an image that calls mm_profile_start() and mm_profile_stop() (board/profile.h). A region holds what
/// was executed behind the first's return up to the call of the second, that call included; functions named
/// in `uncounted` count nothing. Throws Error as run_on_emulator() does, when the image lacks one of the
/// functions, and when QEMU refuses the plugin.
ProfiledRun profile_on_emulator(const Target& target, const BuildResult& built,
                                const EmulatorOptions& options = {},
                                const std::vector<std::string>& uncounted = {});

/// Counts of every node of the model, in node order: its kernel with the call. `target` is an
/// emulation_target().
std::vector<InstructionCounts> profile_layers(const Harness& harness, const Target& target,
                                              const ByteTensor& input);

}  // namespace micromind
