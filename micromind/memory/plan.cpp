#include "micromind/memory/plan.h"

#include <algorithm>
#include <numeric>

#include "micromind/memory/banks.h"
#include "micromind/memory/overlap.h"
#include "micromind/memory/placement.h"
#include "micromind/memory/views.h"

namespace micromind {

std::vector<int> in_place_candidates(const Graph& graph, const Node& node) {
  const std::int64_t bytes = graph.shape(node.outputs[0]).elements();
  const auto same_size = [&](int v) { return graph.shape(v).elements() == bytes; };
  return std::visit(Overloaded{
                        [&](const Activation&) { return node.inputs; },
                        [&](const Requantize&) { return node.inputs; },
                        [&](const Flatten&) { return node.inputs; },
                        [&](const Add&) { return node.inputs; },
                        [&](const Multiply&) {  // element i reads element i of the operand that is not broadcast
                          std::vector<int> list;
                          for (const int v : node.inputs)
                            if (same_size(v)) list.push_back(v);
                          return list;
                        },
                        [](const auto&) { return std::vector<int>{}; },  // safe for every operator
                    },
                    node.op);
}

namespace {

class Planner {
 public:
  Planner(const Graph& graph, const PlanOptions& options) : graph_(graph), options_(options), alignment_(std::max<std::int64_t>(1, options.alignment)) {}

  MemoryPlan run() && {
    find_lifetimes();
    share();
    find_bands_over_input();
    find_overlaps();
    measure_live();
    place_in_banks();
    for (std::size_t v = 0; v < plan_.placements.size(); ++v) {
      const auto block = at(block_of_[at(views_[v].host)]);
      plan_.placements[v].offset = blocks_[block].offset + inner(static_cast<int>(v));
      plan_.placements[v].bank = bank_of_.empty() ? 0 : bank_of_[block];
    }
    return std::move(plan_);
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  std::int64_t round_up(std::int64_t n) const { return (n + alignment_ - 1) / alignment_ * alignment_; }

  void find_lifetimes() {
    const int steps = static_cast<int>(graph_.nodes().size());
    plan_.placements.resize(graph_.values().size());
    for (std::size_t v = 0; v < graph_.values().size(); ++v) {
      Placement& p = plan_.placements[v];
      const TensorType& type = graph_.values()[v].type;
      p.bytes = type.shape.elements() * byte_size(type.element);
      p.first = p.last = std::max(0, graph_.values()[v].producer);
    }
    const auto keep_until = [&](int v, int step) {
      Placement& p = plan_.placements[static_cast<std::size_t>(v)];
      p.last = std::max(p.last, step);
    };
    for (int i = 0; i < steps; ++i)
      for (const int v : graph_.nodes()[static_cast<std::size_t>(i)].inputs) keep_until(v, i);
    // The step behind the last: outputs are read there, states are held from one call to the next.
    for (const Port& o : graph_.outputs()) keep_until(o.value, steps);
    for (const State& s : graph_.states())
      for (const int v : {s.input, s.output}) {
        plan_.placements[static_cast<std::size_t>(v)].first = 0;
        keep_until(v, steps);
      }
  }

  // Where in its block a value begins.
  std::int64_t inner(int v) const { return inner_[at(views_[at(v)].host)] + views_[at(v)].offset; }
  int block_of(int v) const { return block_of_[at(views_[at(v)].host)]; }

  // A band of rows has its place in the whole before it is computed: what its producer would overwrite in place can lie
  // there as well.
  void draw_in_place_inputs_into_joins() {
    for (std::size_t i = graph_.nodes().size(); i-- > 0;) {
      const Node& node = graph_.nodes()[i];
      const int v = node.outputs[0];
      const View view = views_[at(v)];
      if (view.host == v || is_view(node.op)) continue;
      for (const int c : in_place_candidates(graph_, node)) {
        const bool alone = std::none_of(views_.begin(), views_.end(), [&](const View& w) { return &w != &views_[at(c)] && w.host == c; });
        if (views_[at(c)].host != c || !alone || plan_.placements[at(c)].last > static_cast<int>(i)) continue;
        views_[at(c)] = view;
        plan_.placements[at(c)].shares = v;
        break;
      }
    }
  }

  // A value and all that lies in it.
  void find_groups() {
    views_ = find_views(graph_);
    draw_in_place_inputs_into_joins();
    groups_.resize(views_.size());
    for (std::size_t v = 0; v < views_.size(); ++v) {
      const Placement& p = plan_.placements[at(views_[v].host)];
      groups_[v] = {.bytes = p.bytes, .first = p.first, .last = p.last};
    }
    for (std::size_t v = 0; v < views_.size(); ++v) {
      Placement& p = plan_.placements[v];
      if (views_[v].host != static_cast<int>(v) && p.shares < 0) p.shares = views_[v].host;
      Block& group = groups_[at(views_[v].host)];
      group.first = std::min(group.first, p.first);
      group.last = std::max(group.last, p.last);
    }
  }

  void share() {
    find_groups();
    block_of_.assign(graph_.values().size(), -1);
    inner_.assign(graph_.values().size(), 0);
    for (const View& view : views_) give_block(at(view.host));
  }

  void give_block(std::size_t v) {
    if (block_of_[v] >= 0) return;
    const Block& group = groups_[v];
    const int producer = graph_.values()[v].producer;
    if (producer >= 0 && !is_view(graph_.nodes()[at(producer)].op)) {
      for (const int candidate : in_place_candidates(graph_, graph_.nodes()[at(producer)])) {
        const int b = block_of(candidate);
        if (blocks_[at(b)].last > producer) continue;  // still read later
        plan_.placements[v].shares = candidate;
        block_of_[v] = b;
        inner_[v] = inner(candidate);
        break;
      }
    }
    if (block_of_[v] < 0) {
      block_of_[v] = static_cast<int>(blocks_.size());
      blocks_.push_back({.first = group.first, .last = group.last});
    }
    Block& b = blocks_[at(block_of_[v])];
    b.bytes = std::max(b.bytes, round_up(inner_[v] + group.bytes));
    b.first = std::min(b.first, group.first);
    b.last = std::max(b.last, group.last);
  }

  // Outputs born where their input dies, and whose operator lets them lie over a part of it. A state is there before.
  void find_overlaps() {
    if (!options_.overlap) return;
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (node.inputs.size() != 1 || node.outputs.size() != 1) continue;
      const int over = block_of(node.inputs[0]), own = block_of(node.outputs[0]);
      if (inner(node.inputs[0]) != 0 || inner(node.outputs[0]) != 0) continue;  // parts of what lives longer
      if (over == own || blocks_[at(own)].within >= 0 || blocks_[at(over)].last != static_cast<int>(i) || blocks_[at(own)].first != static_cast<int>(i)) continue;
      if (std::any_of(graph_.states().begin(), graph_.states().end(), [&](const State& s) { return s.output == node.outputs[0]; })) continue;
      const std::optional<std::int64_t> most = overlap(node.op, graph_.shape(node.inputs[0]), graph_.shape(node.outputs[0]));
      if (!most) continue;
      Block& b = blocks_[at(own)];
      b.over = over;
      plan_.placements[at(node.outputs[0])].overlaps = node.inputs[0];
      b.lag = *most >= 0 ? -(*most / alignment_ * alignment_) : round_up(-*most);
    }
  }

  // Strips read their input from above to below and write the joined rows likewise: a join may lie over rows of the input
  // that no strip reads any more when the band over them is written.
  void find_bands_over_input() {
    if (!options_.overlap) return;
    std::vector<int> read_until(graph_.values().size(), -1);  // per value: by an operator that runs, or a caller
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (is_view(node.op)) continue;
      for (const int v : node.inputs) read_until[at(v)] = static_cast<int>(i);
      for (const int v : node.outputs) read_until[at(v)] = static_cast<int>(i);  // written
    }
    const int behind = static_cast<int>(graph_.nodes().size());
    for (const Port& o : graph_.outputs()) read_until[at(o.value)] = behind;
    for (const State& s : graph_.states()) read_until[at(s.input)] = read_until[at(s.output)] = behind;
    for (const Node& join : graph_.nodes()) {
      if (!std::holds_alternative<JoinRows>(join.op)) continue;
      for (const Node& node : graph_.nodes())
        if (std::holds_alternative<TakeRows>(node.op)) lay_within(block_of(join.outputs[0]), block_of(node.inputs[0]), read_until);
    }
  }

  // Lets block `own` begin as close below block `input` as its bands, each from its first step on, stay in front of all that is
  // read there from that step on.
  void lay_within(int own, int input, const std::vector<int>& read_until) {
    Block& b = blocks_[at(own)];
    if (own == input || b.within >= 0 || blocks_[at(input)].first >= b.first || blocks_[at(input)].last < b.first) return;
    std::int64_t lag = -blocks_[at(input)].bytes;
    for (int band = 0; at(band) < views_.size(); ++band) {
      if (block_of(band) != own) continue;
      const Placement& p = plan_.placements[at(band)];
      for (int v = 0; at(v) < views_.size(); ++v)
        if (block_of(v) == input && read_until[at(v)] >= p.first) lag = std::max(lag, inner(band) + p.bytes - inner(v));
    }
    lag = lag >= 0 ? round_up(lag) : -(-lag / alignment_ * alignment_);
    if (lag >= b.bytes) return;
    b.within = input;
    b.within_lag = lag;
  }

  void measure_live() {
    const std::size_t steps = graph_.nodes().size();
    std::vector<std::int64_t> change(steps + 1, 0);
    plan_.live_bytes.assign(steps, 0);
    for (const Block& b : blocks_) {
      change[at(b.first)] += b.bytes;
      if (at(b.last) + 1 <= steps) change[at(b.last) + 1] -= b.bytes;
      if (b.over >= 0) plan_.live_bytes[at(b.first)] -= b.bytes - b.beside();
      if (b.within >= 0)
        for (int i = b.first; i <= std::min({b.last, blocks_[at(b.within)].last, static_cast<int>(steps) - 1}); ++i)
          plan_.live_bytes[at(i)] -= b.bytes - std::max<std::int64_t>(0, b.within_lag);
    }
    std::int64_t live = 0;
    for (std::size_t i = 0; i < steps; ++i) {
      live += change[i];
      plan_.live_bytes[i] += live;
      if (plan_.live_bytes[i] > plan_.step_bound_bytes) {
        plan_.step_bound_bytes = plan_.live_bytes[i];
        plan_.peak_node = static_cast<int>(i);
      }
    }
  }

  std::int64_t most_live(const std::vector<Block>& blocks) const {
    std::int64_t most = 0;
    for (const Block& a : blocks) {
      std::int64_t live = 0;
      for (const Block& b : blocks)
        if (b.first <= a.first && a.first <= b.last)
          live += b.within >= 0 ? std::max<std::int64_t>(0, b.within_lag) : b.first == a.first ? b.beside() : b.bytes;
      most = std::max(most, live);
    }
    return most;
  }

  // Places some of the blocks by themselves; returns what they need.
  std::int64_t place(const std::vector<int>& subset) {
    std::vector<int> index(blocks_.size(), -1);
    for (std::size_t k = 0; k < subset.size(); ++k) index[at(subset[k])] = static_cast<int>(k);
    std::vector<Block> blocks;
    for (const int i : subset) {
      blocks.push_back(blocks_[at(i)]);
      Block& b = blocks.back();
      if (b.over >= 0 && (b.over = index[at(b.over)]) < 0) b.lag = 0;
      if (b.within >= 0) b.within = index[at(b.within)];
    }
    if (blocks.empty()) return 0;
    const std::int64_t arena = place_blocks(blocks, most_live(blocks), alignment_, options_.search_rounds).arena;
    for (std::size_t k = 0; k < subset.size(); ++k) blocks_[at(subset[k])].offset = blocks[k].offset;
    return arena;
  }

  void place_in_banks() {
    const Placed placed = place_blocks(blocks_, plan_.step_bound_bytes, alignment_, options_.search_rounds);
    plan_.arena_bytes = placed.arena;
    plan_.lower_bound_bytes = placed.bound;
    plan_.bank_bytes = {plan_.arena_bytes};
    if (options_.rooms.empty() || plan_.arena_bytes <= options_.rooms[0]) return;
    std::vector<BankBlock> of_banks;
    for (const Block& b : blocks_) of_banks.push_back({b.bytes, b.first, b.last});
    const std::vector<Block> in_one = blocks_;
    const auto banks = assign_banks(of_banks, options_.rooms, [&](const std::vector<int>& subset) { return place(subset); });
    if (!banks) {
      blocks_ = in_one;
      return;
    }
    bank_of_ = *banks;
    plan_.bank_bytes.assign(options_.rooms.size(), 0);
    plan_.arena_bytes = 0;
    for (std::size_t k = 0; k < options_.rooms.size(); ++k) {
      std::vector<int> subset;
      for (std::size_t i = 0; i < bank_of_.size(); ++i)
        if (bank_of_[i] == static_cast<int>(k)) subset.push_back(static_cast<int>(i));
      plan_.bank_bytes[k] = place(subset);
      plan_.arena_bytes += plan_.bank_bytes[k];
    }
    for (Block& b : blocks_)
      if (b.over >= 0 && bank_of_[at(b.over)] != bank_of_[static_cast<std::size_t>(&b - blocks_.data())]) b.over = -1;
  }

  const Graph& graph_;
  const PlanOptions options_;
  const std::int64_t alignment_;
  MemoryPlan plan_;
  std::vector<Block> blocks_;        // values that share memory are one
  std::vector<View> views_;          // per value
  std::vector<Block> groups_;        // per value with memory of its own: with all that lies in it
  std::vector<int> block_of_;        // likewise
  std::vector<std::int64_t> inner_;  // likewise: where in the block it begins
  std::vector<int> bank_of_;         // per block, when there are several banks
};

}  // namespace

MemoryPlan plan_memory(const Graph& lowered, const PlanOptions& options) { return Planner(lowered, options).run(); }

std::vector<int> live_values(const MemoryPlan& plan, int step) {
  std::vector<int> values;
  for (std::size_t v = 0; v < plan.placements.size(); ++v) {
    const Placement& p = plan.placements[v];
    if (p.first > step || p.last < step) continue;
    if (p.shares >= 0 && plan.placements[static_cast<std::size_t>(p.shares)].first <= step && plan.placements[static_cast<std::size_t>(p.shares)].last >= step)
      continue;  // listed already
    values.push_back(static_cast<int>(v));
  }
  std::stable_sort(values.begin(), values.end(), [&](int a, int b) {
    return plan.placements[static_cast<std::size_t>(a)].offset < plan.placements[static_cast<std::size_t>(b)].offset;
  });
  return values;
}

}  // namespace micromind
