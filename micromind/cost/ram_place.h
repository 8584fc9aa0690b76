// Where a network's activations lie on a board: in one RAM bank when one holds them all, else spread over several, else with
// its first layers run strip by strip (lower/patches.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "micromind/memory/patch_search.h"
#include "micromind/memory/plan.h"
#include "micromind/targets/target.h"

namespace micromind {

/// Static RAM of start-up code beside the stack in the first bank, rounded up.
inline constexpr std::int64_t kStaticRamBytes = 512;

/// Room for an arena in each bank of the target, in its order.
std::vector<std::int64_t> arena_rooms(const Target& target);

struct RamPlace {
  MemoryPlan plan;                        ///< one entry of bank_bytes for each of `banks`
  std::vector<const MemoryBank*> banks;   ///< of the target; none when it does not fit
  bool fits() const { return !banks.empty(); }
};

/// In the first bank that holds all of `in_one` (the plan of the graph for one bank), or over several.
RamPlace place_activations(const Graph& lowered, const MemoryPlan& in_one, const Target& target);

/// The split with least recomputation that fits one bank, or, where none does, several.
std::optional<FoundPatches> patches_for(const Graph& lowered, const Target& target);

/// "axi", "axi 300 kB and sram 120 kB"
std::string bank_list(const RamPlace& place);

}  // namespace micromind
