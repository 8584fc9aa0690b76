// Which layers to run strip by strip, and in how many strips: a search over every stretch from the network's first layer
// with the real planner.
//
//   const auto found = search_patches(lowered.graph, {.fits = [&](const MemoryPlan& p) { return p.arena_bytes <= room; }});
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "micromind/lower/patches.h"
#include "micromind/memory/plan.h"

namespace micromind {

struct PatchSearch {
  /// Searched for: the stretch with least recomputation whose plan fits. Empty: the one with the smallest arena.
  std::function<bool(const MemoryPlan&)> fits = {};
  int strips = 0;       ///< this many; 0: 2 to `most_strips`
  int most_strips = 16;
  PlanOptions plan = {};
};

struct FoundPatches {
  Patches patches;
  std::int64_t extra_macs = 0;   ///< computed twice
  std::int64_t arena_bytes = 0;
};

/// Nothing when no stretch can be split, or none fits. Deterministic. Of equal ones: least recomputation, then fewer strips.
std::optional<FoundPatches> search_patches(const Graph& lowered, const PatchSearch& search);

}  // namespace micromind
