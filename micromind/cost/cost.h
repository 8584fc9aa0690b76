// What a network costs on a chip, before a weight is trained: parameters, MACs, peak RAM as the planner places it,
// flash as it links, per layer and in total.
//
//   const Lowered lowered = lower(graph);
//   const Cost c = estimate_cost(graph, lowered);
//   const Fit fit = check_fit(c, lowered, load_target("stm32h743"));
//
// Nothing is allocated per tensor and no name is copied: a PhiNet takes some ten microseconds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "micromind/lower/lower.h"
#include "micromind/memory/patch_search.h"
#include "micromind/memory/plan.h"
#include "micromind/targets/target.h"

namespace micromind {

struct LayerCost {
  int node = 0;                  ///< of the lowered graph
  std::string_view kernel;       ///< file in runtime/kernels, "" where nothing runs
  std::int64_t parameters = 0;   ///< as PyTorch counts them, batch norm's included
  std::int64_t macs = 0;
  std::int64_t live_bytes = 0;   ///< activations in RAM while it runs
  std::int64_t flash_bytes = 0;  ///< weights, bias, multipliers, tables and the call's parameters; not its code
};

struct Cost {
  std::int64_t parameters = 0, macs = 0, torchinfo_mult_adds = 0;  ///< of the network as trained
  std::int64_t peak_ram_bytes = 0;  ///< the arena: inputs, outputs, activations
  std::int64_t flash_bytes = 0;     ///< constants, code of the kernels used, start-up
  std::int64_t constant_bytes = 0, code_bytes = 0;  ///< the two parts of flash_bytes
  std::vector<LayerCost> layers;    ///< one a node of the lowered graph
  int ram_bottleneck = -1;          ///< layer with most live bytes
  int flash_bottleneck = -1, macs_bottleneck = -1;
  MemoryPlan plan;
};

Cost estimate_cost(const Graph& network, const Lowered& lowered, const PlanOptions& options = {});

/// The RAM bank that holds the arena: the first, beside stack and static data, or else the first of the others that is
/// large enough; where none is, the one with most room.
struct ArenaPlace {
  const MemoryBank* bank = nullptr;  ///< of the target given
  std::int64_t reserved = 0;         ///< stack and static data in the same bank
  bool fits = false;
  std::int64_t room() const { return std::max<std::int64_t>(0, bank->bytes - reserved); }
};
ArenaPlace place_arena(const Target& target, std::int64_t arena_bytes);

/// Budget against use on a board. RAM: the bank or banks that hold the activations (cost/ram_place.h), their patch-wise
/// execution where nothing else fits; flash: the linked image, with the external flash where there is one.
struct Fit {
  std::int64_t ram_needed = 0, ram_available = 0, flash_needed = 0, flash_available = 0;
  std::optional<FoundPatches> patches;  ///< the layers that must run in strips for it to fit
  bool fits() const { return ram_needed <= ram_available && flash_needed <= flash_available; }
  std::string text;  ///< one sentence: fits with what to spare, or what is exceeded by how much and which layer is to blame
};
Fit check_fit(const Cost& cost, const Lowered& lowered, const Target& target);

/// Flash that a kernel's code takes on Cortex-M with -O2, measured (docs/architecture.md says how).
std::int64_t kernel_code_bytes(std::string_view kernel);

/// The table that `micromind inspect` prints, and its JSON.
std::string cost_table(const Cost& cost, const Lowered& lowered);
nlohmann::json to_json(const Cost& cost, const Lowered& lowered);

}  // namespace micromind
