#include "micromind/deploy/placement.h"

#include <algorithm>
#include <charconv>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Boards whose largest bank has room for that much, the smallest first.
std::string boards_with_room(std::int64_t arena, std::int64_t flash) {
  std::vector<std::pair<std::int64_t, std::string>> boards;
  for (const std::string& name : target_names()) {
    const Target t = load_target(name);
    const std::vector<std::int64_t> rooms = arena_rooms(t);
    if (!t.emulator && *std::max_element(rooms.begin(), rooms.end()) >= arena && t.flash.bytes >= flash) boards.emplace_back(t.ram_bytes(), name);
  }
  std::sort(boards.begin(), boards.end());
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, boards.size()); ++i) text += (i == 0 ? "" : ", ") + boards[i].second;
  return text;
}

// The largest tensor that is live where most is.
std::string largest_tensor(const Cost& cost, const Graph& graph) {
  int best = -1;
  for (std::size_t v = 0; v < cost.plan.placements.size(); ++v) {
    const Placement& p = cost.plan.placements[v];
    if (p.first <= cost.plan.peak_node && p.last >= cost.plan.peak_node && (best < 0 || p.bytes > cost.plan.placements[at(best)].bytes))
      best = static_cast<int>(v);
  }
  return best < 0 ? "?" : fmt::format("'{}' ({}, {})", graph.value_name(best), to_string(graph.shape(best)), format_bytes(graph.shape(best).elements()));
}

[[noreturn]] void fail_ram(const Cost& cost, const Lowered& lowered, const Target& target, const PlacementOptions& options) {
  const ArenaPlace place = place_arena(target, cost.peak_ram_bytes);
  std::string help = "a smaller input or a narrower network";
  if (options.patches == kPatchesOff && patches_for(lowered.graph, target)) help = "--patches auto, with which it fits; or " + help;
  if (const std::string boards = boards_with_room(cost.peak_ram_bytes, cost.flash_bytes); !boards.empty())
    help += "; boards with room for it: " + boards;
  std::string tried = options.patches == kPatchesOff ? "" : "; running the first layers in strips does not make it fit either";
  if (target.ram.size() > 1) tried = "; no division among its banks fits" + tried;
  fail_with_hint("deploy", help, "the model does not fit {}: its arena takes {}, and RAM bank '{}' has room for {} ({} bytes too few); most is live at '{}', "
                 "whose largest tensor is {}{}",
                 target.name, format_bytes(cost.peak_ram_bytes), place.bank->name, format_bytes(place.room()),
                 format_count(cost.peak_ram_bytes - place.room()), cost.ram_bottleneck < 0 ? "?" : lowered.graph.nodes()[at(cost.ram_bottleneck)].name,
                 largest_tensor(cost, lowered.graph), tried);
}

// A layer's weights, how many bytes they take and how often each is read in an inference.
struct WeightArray {
  int node;
  std::int64_t bytes, reads;
};

std::vector<WeightArray> weight_arrays(const Lowered& lowered) {
  std::vector<WeightArray> arrays;
  std::vector<int> of_node(lowered.graph.nodes().size(), -1);
  for (std::size_t i = 0; i < of_node.size(); ++i) {
    const Node& node = lowered.graph.nodes()[i];
    const Shape &in = lowered.graph.shape(node.inputs[0]), &out = lowered.graph.shape(node.outputs[0]);
    const auto* conv = std::get_if<Conv2d>(&node.op);
    const auto* linear = std::get_if<Linear>(&node.op);
    if (conv == nullptr && linear == nullptr) continue;
    const std::int64_t reads = conv != nullptr ? std::int64_t{out.height()} * out.width() : 1;
    if (const int first = lowered.origin[i].shares; first >= 0) {
      arrays[at(of_node[at(first)])].reads += reads;
      continue;
    }
    of_node[i] = static_cast<int>(arrays.size());
    const std::int64_t bytes = linear != nullptr ? linear->weights(in) : conv->weights(in) * (conv->depthwise(in) ? 2 : 1);
    arrays.push_back({static_cast<int>(i), bytes, reads});
  }
  return arrays;
}

// The least read ones first, of equal ones the largest, until the rest has room.
void place_weights(PlacedModel& placed, const Target& target, WeightsIn weights) {
  if (weights == WeightsIn::external && !target.external_flash)
    fail_with_hint("deploy", "give its file a table [external_flash] with address and bytes", "{} has no external flash", target.name);
  const std::int64_t margin = 4096 + placed.cost.flash_bytes / 50;  // the estimate's error
  std::int64_t internal = placed.cost.flash_bytes, external = 0;
  const bool too_small = internal + margin > target.flash.bytes;
  if (weights == WeightsIn::external || (weights == WeightsIn::automatic && too_small && target.external_flash)) {
    std::vector<WeightArray> arrays = weight_arrays(placed.lowered);
    std::stable_sort(arrays.begin(), arrays.end(), [](const WeightArray& a, const WeightArray& b) {
      return a.reads != b.reads ? a.reads < b.reads : a.bytes > b.bytes;
    });
    for (const WeightArray& array : arrays) {
      if (weights == WeightsIn::automatic && internal + margin <= target.flash.bytes) break;
      placed.external.push_back(placed.lowered.graph.nodes()[at(array.node)].name);
      internal -= array.bytes;
      external += array.bytes;
    }
  }
  const std::string hint = target.external_flash && weights == WeightsIn::internal ? "--weights auto, which puts weights into the external flash"
                           : "a narrower network, or a board with more flash";
  if (internal > target.flash.bytes)
    fail_with_hint("deploy", hint, "the model does not fit {}: it takes {} of flash{}, and the board has {} ({} bytes too few); the largest layer is '{}'",
                   target.name, format_bytes(internal), external > 0 ? " beside its weights" : "", format_bytes(target.flash.bytes),
                   format_count(internal - target.flash.bytes),
                   placed.cost.flash_bottleneck < 0 ? "?" : placed.lowered.graph.nodes()[at(placed.cost.flash_bottleneck)].name);
  if (target.external_flash && external > target.external_flash->bytes)
    fail_with_hint("deploy", hint, "the model does not fit {}: {} of weights for an external flash of {} ({} bytes too few)", target.name,
                   format_bytes(external), format_bytes(target.external_flash->bytes), format_count(external - target.external_flash->bytes));
}

}  // namespace

int patches_from(std::string_view text) {
  if (text == "auto") return kPatchesIfNeeded;
  if (text == "off") return kPatchesOff;
  int strips = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), strips);
  if (error != std::errc() || end != text.data() + text.size() || strips < 2 || strips > 1000)
    fail("deploy", "--patches: expected auto, off or a number of strips from 2 on, found '{}'", text);
  return strips;
}

WeightsIn weights_from(std::string_view text) {
  if (text == "auto") return WeightsIn::automatic;
  if (text == "internal") return WeightsIn::internal;
  if (text == "external") return WeightsIn::external;
  fail("deploy", "--weights: expected auto, internal or external, found '{}'", text);
}

PlacedModel place_model(const Model& model, const Target& target, const PlacementOptions& options) {
  PlacedModel placed{model, as_lowered(model.graph), {}, {}, {}, 0, {}};
  placed.cost = estimate_cost(model.graph, placed.lowered);
  placed.arena_without_patches = placed.cost.plan.arena_bytes;
  RamPlace ram = place_activations(model.graph, placed.cost.plan, target);
  if (options.patches > kPatchesOff) {
    placed.patches = search_patches(model.graph, {.strips = options.patches});
    if (!placed.patches)
      fail_with_hint("deploy", "--patches auto or off", "{}: no layers at the start of the network can run in {} strips", model.graph.name, options.patches);
  } else if (options.patches == kPatchesIfNeeded && !ram.fits()) {
    placed.patches = patches_for(model.graph, target);
  }
  if (placed.patches) {
    placed.lowered = split_rows(placed.lowered, placed.patches->patches);
    placed.model = split_rows(model, placed.patches->patches);
    placed.cost = estimate_cost(model.graph, placed.lowered);
    ram = place_activations(placed.model.graph, placed.cost.plan, target);
  }
  if (!ram.fits()) fail_ram(placed.cost, placed.lowered, target, options);
  placed.cost.plan = std::move(ram.plan);
  placed.cost.peak_ram_bytes = placed.cost.plan.arena_bytes;
  for (const MemoryBank* bank : ram.banks) placed.banks.push_back(bank->name);
  place_weights(placed, target, options.weights);
  return placed;
}

}  // namespace micromind
