// The programs around an emitted model that measure it: an image whose size counts, one that runs every
// input, one that records layer by layer. Their C is in runtime/harness.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "micromind/deploy/cross.h"
#include "micromind/deploy/instruction_classes.h"
#include "micromind/deploy/proof.h"
#include "micromind/graph/model.h"
#include "micromind/memory/plan.h"
#include "micromind/targets/target.h"

namespace micromind {

/// The bank that holds the arena: the first, beside stack and static data, or else the first that is large
/// enough. Throws Error that says by how much the largest is too small.
const MemoryBank& arena_bank(const Target& target, std::int64_t arena_bytes);

/// What a program is built of.
struct Harness {
  const Model& model;
  const MemoryPlan& plan;
  std::filesystem::path emitted;  ///< folder that write_c() filled
  std::filesystem::path work;     ///< builds go below
  std::vector<std::string> banks = {};  ///< RAM bank of each arena of the plan; empty: arena_bank()
  std::string prefix = "model";   ///< of the emitted names
};

BuildResult build_size_image(const Harness& harness, const Target& target);

/// The program that answers over a serial line (runtime/emit/serial), with the machine's UART at that address.
BuildResult build_serial_image(const Harness& harness, const Target& target, std::uint32_t uart_address, bool trace);

/// What the core did. `target` is an emulation_target().
struct CoreRun {
  std::vector<ByteTensor> outputs;  ///< per input, all of the graph's outputs one after another
  std::int64_t instructions = 0;    ///< of the first input
  std::int64_t instructions_most = 0;
  std::int64_t stack_bytes = 0;
  std::int64_t arena_used_bytes = 0;  ///< the highest byte touched, plus one; beyond the arena where it was overrun
};
CoreRun run_on_core(const Harness& harness, const Target& target, const std::vector<ByteTensor>& inputs);

struct CoreTrace {
  std::vector<std::vector<ByteTensor>> values;  ///< per input: per output of every node, in node order
  std::vector<std::int64_t> instructions;       ///< likewise, of the first; a node's first output has its work
};
CoreTrace trace_on_core(const Harness& harness, const Target& target, const std::vector<ByteTensor>& inputs);

/// Both as prove() takes them.
ChipValues chip_values(CoreRun run, CoreTrace trace);

/// Instructions by class, per output of every node as in CoreTrace (profile.h sums them up by node).
std::vector<InstructionCounts> profile_outputs_on_core(const Harness& harness, const Target& target,
                                                       const ByteTensor& input);

}  // namespace micromind
