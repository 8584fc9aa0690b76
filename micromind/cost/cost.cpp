#include "micromind/cost/cost.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cost/count.h"
#include "micromind/cost/flash.h"
#include "micromind/cost/ram_place.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Distinct kernels' code; there are fewer than twenty, so a linear scan is the quickest.
std::int64_t code_bytes(const std::vector<LayerCost>& layers) {
  std::int64_t bytes = kStartUpBytes;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].kernel.empty()) continue;
    bytes += kCallBytes;
    const bool seen = std::any_of(layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(i),
                                  [&](const LayerCost& l) { return l.kernel.data() == layers[i].kernel.data(); });
    if (!seen) bytes += kernel_code_bytes(layers[i].kernel);
  }
  return bytes;
}

template <class Member>
int largest(const std::vector<LayerCost>& layers, Member member) {
  int best = -1;
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (best < 0 || layers[i].*member > layers[at(best)].*member) best = static_cast<int>(i);
  return best;
}

}  // namespace

Cost estimate_cost(const Graph& network, const Lowered& lowered, const PlanOptions& options) {
  Cost cost;
  const Graph& graph = lowered.graph;
  const Count total = count(network);
  cost.parameters = total.parameters;
  cost.macs = total.macs;
  cost.torchinfo_mult_adds = total.torchinfo_mult_adds;
  cost.plan = plan_memory(graph, options);
  cost.peak_ram_bytes = cost.plan.arena_bytes;
  cost.layers.resize(graph.nodes().size());
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const NodeOrigin& origin = lowered.origin[i];
    LayerCost& layer = cost.layers[i];
    layer.node = static_cast<int>(i);
    layer.kernel = kernel_of(graph, node);
    for (const int source : {origin.parameters, origin.batch_norm})
      if (source >= 0 && origin.shares < 0) layer.parameters += count(network, network.nodes()[at(source)]).parameters;
    if (origin.parameters >= 0) layer.macs = count(graph, node).macs;  // of the strip, where a layer is split
    layer.live_bytes = cost.plan.live_bytes[i];
    layer.flash_bytes = origin.shares < 0 ? constant_bytes(graph, node) : call_bytes(graph, node);
    cost.constant_bytes += layer.flash_bytes;
  }
  cost.code_bytes = code_bytes(cost.layers);
  cost.flash_bytes = cost.constant_bytes + cost.code_bytes;
  cost.ram_bottleneck = cost.plan.peak_node;
  cost.flash_bottleneck = largest(cost.layers, &LayerCost::flash_bytes);
  cost.macs_bottleneck = largest(cost.layers, &LayerCost::macs);
  return cost;
}

ArenaPlace place_arena(const Target& target, std::int64_t arena_bytes) {
  ArenaPlace best;
  for (const MemoryBank& bank : target.ram) {
    ArenaPlace place{&bank, &bank == &target.main_bank() ? target.stack_bytes + kStaticRamBytes : 0, false};
    place.fits = arena_bytes <= place.room();
    if (place.fits) return place;
    if (best.bank == nullptr || place.room() > best.room()) best = place;
  }
  return best;
}

Fit check_fit(const Cost& cost, const Lowered& lowered, const Target& target) {
  const auto blame = [&](int layer) { return layer < 0 ? std::string("?") : lowered.graph.nodes()[at(layer)].name; };
  const ArenaPlace place = place_arena(target, cost.peak_ram_bytes);
  Fit fit;
  fit.ram_needed = cost.peak_ram_bytes + place.reserved;
  fit.ram_available = place.bank->bytes;
  fit.flash_needed = cost.flash_bytes;
  fit.flash_available = target.flash.bytes + (target.external_flash ? target.external_flash->bytes : 0);
  RamPlace ram = place_activations(lowered.graph, cost.plan, target);
  if (!ram.fits()) {
    fit.patches = patches_for(lowered.graph, target);
    if (fit.patches) {
      const Graph split = split_rows(lowered.graph, fit.patches->patches).graph;
      ram = place_activations(split, plan_memory(split), target);
    }
  }
  std::string how = target.ram.size() > 1 ? fmt::format(" (bank '{}')", place.bank->name) : "";
  if (ram.fits()) {
    fit.ram_needed = ram.plan.arena_bytes;
    fit.ram_available = 0;
    for (const MemoryBank* bank : ram.banks) {
      fit.ram_available += bank->bytes;
      if (bank == &target.main_bank()) fit.ram_needed += target.stack_bytes + kStaticRamBytes;
    }
    if (target.ram.size() > 1) how = ram.plan.spread() ? fmt::format(" (banks {})", bank_list(ram)) : fmt::format(" (bank '{}')", bank_list(ram));
  }
  if (fit.fits()) {
    fit.text = fmt::format("fits {}: RAM {} of {}{}, flash {} of {}", target.name, format_bytes(fit.ram_needed), format_bytes(fit.ram_available),
                           how, format_bytes(fit.flash_needed), format_bytes(fit.flash_available));
    if (fit.patches)
      fit.text += fmt::format("; the layers {} to {} run in {} strips ({} more MACs, {:.1f} %), else the arena would take {}", blame(fit.patches->patches.first),
                              blame(fit.patches->patches.last), fit.patches->patches.strips, format_count(fit.patches->extra_macs),
                              100.0 * static_cast<double>(fit.patches->extra_macs) / static_cast<double>(std::max<std::int64_t>(1, cost.macs)),
                              format_bytes(cost.peak_ram_bytes));
    return fit;
  }
  fit.text = fmt::format("does not fit {}:", target.name);
  if (!ram.fits())
    fit.text += fmt::format(" the arena takes {}, the RAM{} has room for {} beside stack and static data: {} too much; most is live at {}.",
                            format_bytes(cost.peak_ram_bytes), how, format_bytes(place.room()),
                            format_bytes(cost.peak_ram_bytes - place.room()), blame(cost.ram_bottleneck));
  if (fit.flash_needed > fit.flash_available)
    fit.text += fmt::format(" Flash {} needed, {} available, {} too much; the largest layer is {}.", format_bytes(fit.flash_needed),
                            format_bytes(fit.flash_available), format_bytes(fit.flash_needed - fit.flash_available),
                            blame(cost.flash_bottleneck));
  return fit;
}

std::string cost_table(const Cost& cost, const Lowered& lowered) {
  std::vector<std::vector<std::string>> rows = {{"layer", "kernel", "output", "parameters", "MACs", "live RAM", "flash", ""}};
  for (const LayerCost& layer : cost.layers) {
    const Node& node = lowered.graph.nodes()[at(layer.node)];
    std::string note;
    if (layer.node == cost.ram_bottleneck) note += "← RAM ";
    if (layer.node == cost.macs_bottleneck) note += "← MACs ";
    if (layer.node == cost.flash_bottleneck) note += "← flash";
    rows.push_back({node.name, layer.kernel.empty() ? "(view)" : std::string(layer.kernel), to_string(lowered.graph.shape(node.outputs[0])),
                    layer.parameters > 0 ? format_count(layer.parameters) : "", layer.macs > 0 ? format_count(layer.macs) : "",
                    format_count(layer.live_bytes), format_count(layer.flash_bytes), note});
  }
  return format_table(rows);
}

nlohmann::json to_json(const Cost& cost, const Lowered& lowered) {
  const auto name = [&](int layer) { return layer < 0 ? std::string() : lowered.graph.nodes()[at(layer)].name; };
  nlohmann::json j = {{"parameters", cost.parameters},
                      {"macs", cost.macs},
                      {"torchinfo_mult_adds", cost.torchinfo_mult_adds},
                      {"peak_ram_bytes", cost.peak_ram_bytes},
                      {"ram_lower_bound_bytes", cost.plan.lower_bound_bytes},
                      {"flash_bytes", cost.flash_bytes},
                      {"constant_bytes", cost.constant_bytes},
                      {"code_bytes", cost.code_bytes},
                      {"ram_bottleneck", name(cost.ram_bottleneck)},
                      {"flash_bottleneck", name(cost.flash_bottleneck)},
                      {"macs_bottleneck", name(cost.macs_bottleneck)},
                      {"layers", nlohmann::json::array()}};
  nlohmann::json& tensors = j["ram_peak_tensors"] = nlohmann::json::array();
  for (const int v : cost.plan.peak_node < 0 ? std::vector<int>{} : live_values(cost.plan, cost.plan.peak_node)) {
    const Placement& p = cost.plan.placements[at(v)];
    tensors.push_back({{"name", lowered.graph.value_name(v)}, {"offset", p.offset}, {"bytes", p.bytes}});
  }
  for (const LayerCost& layer : cost.layers) {
    const Node& node = lowered.graph.nodes()[at(layer.node)];
    const Shape& out = lowered.graph.shape(node.outputs[0]);
    j["layers"].push_back({{"name", node.name},
                           {"operator", op_name(node.op)},
                           {"kernel", layer.kernel},
                           {"output_shape", std::vector<std::int32_t>(out.begin(), out.end())},
                           {"parameters", layer.parameters},
                           {"macs", layer.macs},
                           {"live_ram_bytes", layer.live_bytes},
                           {"flash_bytes", layer.flash_bytes}});
  }
  return j;
}

}  // namespace micromind
