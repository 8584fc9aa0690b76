// Where an int8 model lies on a board, decided before its C is written: RAM banks, patches, weights in external flash.
//
//   const PlacedModel placed = place_model(model, load_target("stm32h743"), {.patches = kPatchesIfNeeded});
//   placed.model, placed.cost.plan …
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "micromind/cost/cost.h"
#include "micromind/cost/ram_place.h"
#include "micromind/graph/model.h"
#include "micromind/targets/target.h"

namespace micromind {

inline constexpr int kPatchesIfNeeded = 0, kPatchesOff = 1;
enum class WeightsIn { automatic, internal, external };

struct PlacementOptions {
  int patches = kPatchesIfNeeded;             ///< or kPatchesOff, or so many strips
  WeightsIn weights = WeightsIn::automatic;   ///< automatic: what the internal flash has no room for goes into the external
};

/// "auto", "off" or a number from 2 on. Throws Error.
int patches_from(std::string_view text);
/// "auto", "internal" or "external". Throws Error.
WeightsIn weights_from(std::string_view text);

struct PlacedModel {
  Model model;      ///< with layers split where `patches` says so
  Lowered lowered;  ///< its graph
  Cost cost;        ///< its plan is the one to emit; macs without recomputation
  std::vector<std::string> banks;       ///< RAM bank of each arena of the plan
  std::optional<FoundPatches> patches;
  std::int64_t arena_without_patches = 0;
  std::vector<std::string> external;    ///< nodes whose weights go into the external flash
};

/// Throws Error when it does not fit (by how much, the tensor and layer, and what would make it fit), when patches are asked
/// for of a network that has no layers to split, and for external weights on a target without external flash.
PlacedModel place_model(const Model& model, const Target& target, const PlacementOptions& options = {});

}  // namespace micromind
