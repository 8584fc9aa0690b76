// Building, emulating and proving: the emitted C on an emulated core against the host, byte by byte.
//
//   const Deployment d = deploy(model, load_target("stm32h743"), "c", inputs);
//   d.identical()            // every output byte of every input and every layer of the first
//   d.first_difference       // "" or which byte of which layer differs
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "micromind/deploy/placement.h"
#include "micromind/deploy/proof.h"
#include "micromind/graph/model.h"
#include "micromind/targets/target.h"

namespace micromind {

/// What takes flash: a layer's constants, a kernel's code, or the rest (model_run, start-up, library).
struct FlashPart {
  std::string kind;  ///< "constants", "kernel", "rest"
  std::string name;  ///< the layer, the C function, or what the rest is
  std::int64_t bytes = 0;
};

/// What the image takes and does, with the proof of its bytes.
struct Deployment : Proof {
  std::string target, core, machine;  ///< "stm32h743", "cortex-m7", "mps2-an500" ("" when not emulated)
  std::string compiler;
  std::int64_t arena_bytes = 0;  ///< as planned and as asserted by the compiler
  std::int64_t arena_lower_bound_bytes = 0;
  std::string arena_bank;                 ///< RAM bank that holds it, the first of several
  struct Arena {
    std::string bank;
    std::int64_t bytes = 0;
  };
  std::vector<Arena> arenas;              ///< one a RAM bank in use, in the order of model_run()'s arguments
  std::int64_t patches = 0;               ///< strips in which the first layers run; 0: whole
  std::string patches_first, patches_last;  ///< the first and the last of these layers
  std::int64_t extra_macs = 0;            ///< computed twice at the strips' seams, not part of `macs`
  std::int64_t arena_without_patches_bytes = 0;
  std::int64_t flash_bytes = 0;           ///< linked image: code, constants, initialised data, vector table
  std::int64_t external_flash_bytes = 0;  ///< weights in the external flash, not part of flash_bytes
  std::int64_t flash_estimate_bytes = 0;  ///< what the cost model said
  std::int64_t constant_bytes = 0, code_bytes = 0;
  std::int64_t data_bss_bytes = 0;     ///< static RAM beside the arena
  std::int64_t arena_used_bytes = 0;   ///< highest byte of the arena that was touched, plus one, by painting
  std::int64_t stack_bytes = 0;        ///< high-water mark of model_run() by painting, without interrupts
  std::int64_t instructions = 0;       ///< of an inference (the first input), without trace
  std::int64_t instructions_most = 0;  ///< of any input
  std::int64_t cycles_estimate = 0;  ///< instructions × cycles_per_instruction(core); 0 where none is known
  double cycles_by_class = 0;        ///< estimated from instructions by class, memory without wait states; 0: no table for the core
  std::int64_t macs = 0;
  std::vector<FlashPart> flash_parts;             ///< add up to flash_bytes
  std::vector<std::vector<std::int8_t>> outputs;  ///< the core's answer to each input, all outputs one after another
};

struct DeployOptions {
  bool emulate = true;
  PlacementOptions placement = {};  ///< patches, weights in external flash
  std::string name = "model";         ///< prefix of the C names: model_run, model.c
  std::vector<std::string> projects;  ///< EmitOptions::projects
  std::function<void(const std::string&)> progress;  ///< one line a step
};

/// Emits C into `folder`, cross-compiles it for `target`, runs every input (int8, HWC; all
/// of the graph's inputs one after another) on the emulated core and compares with the host. Throws Error for
/// a missing compiler or emulator, an image that does not fit (before anything is built where the cost
/// tells), a target without an emulator, no input or one of the wrong size. Different bytes are no Error: see
/// first_difference.
Deployment deploy(const Model& model, const Target& target, const std::filesystem::path& folder,
                  const std::vector<std::vector<std::int8_t>>& inputs, const DeployOptions& options = {});

/// Throws Error when deploy() could not be done: a core that images are not built for, or for want of a cross
/// compiler or, with `emulate`, of an emulator or an emulated machine, naming Debian's package. Takes no
/// time: ask before hours of training.
void check_deploy_tools(const Target& target, bool emulate);

/// Rough cycles an instruction, from published timings of the MLPerf Tiny models on boards against our
/// instruction counts: M4 1.15–1.25, M7 0.73–0.96, M55 0.85–1.0. The middle of each; 0 for other cores.
double cycles_per_instruction(Core core);

/// The keys are those of `deploy --emulate --json`.
nlohmann::json to_json(const Deployment& deployment);

/// Layers with MACs, instructions and instructions per MAC, as text.
std::string layer_table(const Deployment& deployment);

}  // namespace micromind
