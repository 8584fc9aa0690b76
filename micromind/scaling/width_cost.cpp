#include "micromind/scaling/width_cost.h"

#include <algorithm>
#include <map>

#include "micromind/base/error.h"
#include "micromind/cost/cost.h"
#include "micromind/cost/count.h"
#include "micromind/cost/flash.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Positions of a value: its elements without the channels.
std::int64_t area_of(const Shape& shape) { return shape.elements() / shape[0]; }

}  // namespace

WidthCost::WidthCost(const Graph& network, std::span<const int> probe, const LayerCyclesOf& cycles) : slots_(probe.size()) {
  const Lowered lowered = lower(network, {.order = false});
  const Cost cost = estimate_cost(network, lowered, {.search_rounds = 0, .overlap = false});
  fixed_flash_ = static_cast<double>(cost.code_bytes);
  read_layers(lowered, probe, cycles);
  read_steps(lowered.graph, probe);
  std::sort(depthwise_slots_.begin(), depthwise_slots_.end());
  depthwise_slots_.erase(std::unique(depthwise_slots_.begin(), depthwise_slots_.end()), depthwise_slots_.end());
}

// The slot whose probe the extent is, or a constant; slots that share a probe are one variable, the first of them.
int WidthCost::variable_of(std::int64_t extent, std::span<const int> probe, const std::string& where) {
  const auto slot = std::find(probe.begin(), probe.end(), extent);
  if (slot != probe.end()) return static_cast<int>(slot - probe.begin());
  const int least = *std::min_element(probe.begin(), probe.end());
  if (extent >= least) fail("scaling", "{} has {} channels, which no width of the family explains", where, extent);
  const auto known = std::find(constants_.begin(), constants_.end(), extent);
  const auto index = known - constants_.begin();
  if (known == constants_.end()) constants_.push_back(extent);
  return static_cast<int>(static_cast<std::ptrdiff_t>(slots_) + index);
}

void WidthCost::read_layers(const Lowered& lowered, std::span<const int> probe, const LayerCyclesOf& cycles_of) {
  const Graph& graph = lowered.graph;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const Shape& in = graph.shape(node.inputs[0]);
    const Shape& out = graph.shape(node.outputs[0]);
    const int x_in = variable_of(in[0], probe, node.name), x_out = variable_of(out[0], probe, node.name);
    const auto* conv = std::get_if<Conv2d>(&node.op);
    const auto* linear = std::get_if<Linear>(&node.op);
    const bool depthwise = conv != nullptr && conv->depthwise(in);
    double macs_a_pair = 0;
    if (conv != nullptr || linear != nullptr) {
      if (conv != nullptr && conv->groups != 1 && !depthwise) fail("scaling", "{}: grouped convolutions are not scaled", node.name);
      const std::int64_t pairs = depthwise ? out[0] : std::int64_t{in[0]} * out[0];
      const std::int64_t weights = conv != nullptr ? conv->weights(in) : linear->weights(in);
      const std::int64_t area = conv != nullptr ? area_of(out) : 1;
      // A batch norm that stands alone runs as a convolution, but its products are not counted as MACs.
      const bool counted = lowered.origin[i].parameters >= 0;
      const FilterRuns filter = conv != nullptr ? filter_runs(*conv, depthwise) : FilterRuns{};
      layers_.push_back({x_in, x_out, depthwise, weights / pairs, counted ? area : 0, filter.runs, filter.taps});
      macs_a_pair = static_cast<double>(weights / pairs * area);
      if (depthwise && x_out < static_cast<int>(slots_)) depthwise_slots_.push_back(x_out);
      fixed_flash_ += static_cast<double>(constant_bytes(graph, node) - weighted_bytes(filter, in[0], out[0], depthwise));
    } else {
      fixed_flash_ += static_cast<double>(constant_bytes(graph, node));
    }
    if (!cycles_of) continue;
    CyclesByWidth c = cycles_of(graph, node);
    const auto positions = static_cast<double>(area_of(out));
    fixed_cycles_ += c.at.call + c.at.position * positions;
    c.at = {0, 0, c.at.output * positions, c.at.input * static_cast<double>(area_of(in)), c.at.mac * macs_a_pair, c.at.window * positions, 0,
            c.at.tap * positions};
    cycles_.push_back({c, x_in, x_out, depthwise});
  }
}

void WidthCost::read_steps(const Graph& graph, std::span<const int> probe) {
  const MemoryPlan plan = plan_memory(graph, {.search_rounds = 0, .overlap = false});
  struct Shared {
    Buffer buffer;
    int first, last;
  };
  // Values that share memory are one buffer. They have the same number of elements, so the first stands for all.
  std::vector<int> root(plan.placements.size());
  std::map<int, Shared> shared;
  for (std::size_t v = 0; v < plan.placements.size(); ++v) {
    const Placement& p = plan.placements[v];
    root[v] = p.shares >= 0 ? root[at(p.shares)] : static_cast<int>(v);
    const Shape& shape = graph.shape(static_cast<int>(v));
    const Buffer buffer{variable_of(shape[0], probe, graph.value_name(static_cast<int>(v))), area_of(shape)};
    const auto [it, added] = shared.try_emplace(root[v], Shared{buffer, p.first, p.last});
    it->second.first = std::min(it->second.first, p.first);
    it->second.last = std::max(it->second.last, p.last);
  }
  std::vector<std::vector<int>> live(graph.nodes().size());
  for (const auto& [value, s] : shared)
    for (int step = s.first; step <= s.last && step < static_cast<int>(live.size()); ++step) live[at(step)].push_back(value);
  // A step whose buffers are all alive at another decides nothing; lifetimes have no gaps, so it is so at a neighbour then.
  const auto within = [&](std::size_t i, std::size_t j) { return std::includes(live[j].begin(), live[j].end(), live[i].begin(), live[i].end()); };
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (i > 0 && within(i, i - 1)) continue;
    if (i + 1 < live.size() && live[i] != live[i + 1] && within(i, i + 1)) continue;
    steps_.push_back({static_cast<int>(buffers_.size()), static_cast<int>(live[i].size())});
    for (const int value : live[i]) buffers_.push_back(shared.at(value).buffer);
  }
}

Resources<double> WidthCost::evaluate(std::span<const std::int64_t> x) const {
  std::int64_t macs = 0, constants = 0;
  for (const Layer& l : layers_) {
    const std::int64_t out = x[at(l.out)];
    const std::int64_t weights = l.depthwise ? l.weights * out : l.weights * x[at(l.in)] * out;
    macs += l.area * weights;
    constants += weighted_bytes({l.runs, l.taps}, x[at(l.in)], out, l.depthwise);
  }
  std::int64_t most = 0;
  for (const Step& step : steps_) {
    std::int64_t bytes = 0;
    for (int b = step.first; b < step.first + step.count; ++b) bytes += (buffers_[at(b)].area * x[at(buffers_[at(b)].variable)] + 3) & ~std::int64_t{3};
    most = std::max(most, bytes);
  }
  double cycles = fixed_cycles_;
  for (const Cycles& c : cycles_) {
    const CyclesByWidth& l = c.layer;
    const auto in = static_cast<double>(x[at(c.in)]), out = static_cast<double>(x[at(c.out)]);
    const auto filled = static_cast<double>(l.outputs(x[at(c.out)]));
    cycles += l.at.output * filled + l.at.input * in + l.at.mac * (c.depthwise ? out : in * out);
    if (l.runs > 0 && !c.depthwise) cycles += (l.at.window + l.at.tap * filled) * static_cast<double>(l.window(x[at(c.in)]));
  }
  return {static_cast<double>(most), fixed_flash_ + static_cast<double>(constants), static_cast<double>(macs), cycles};
}

}  // namespace micromind
