#include "micromind/memory/plan.h"

#include <algorithm>
#include <numeric>

#include "micromind/base/random.h"

namespace micromind {
namespace {

// Tensors that share memory form one buffer.
struct Buffer {
  std::int64_t bytes = 0, offset = 0;
  int first = 0, last = 0;
};

// Inputs of `node` whose memory its output may take over, in order of preference; flatten always shares.
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

class Planner {
 public:
  Planner(const Graph& graph, const PlanOptions& options) : graph_(graph), options_(options), alignment_(std::max<std::int64_t>(1, options.alignment)) {}

  MemoryPlan run() && {
    find_lifetimes();
    share();
    measure_live();
    place();
    for (std::size_t v = 0; v < plan_.placements.size(); ++v)
      plan_.placements[v].offset = buffers_[static_cast<std::size_t>(buffer_of_[v])].offset;
    return std::move(plan_);
  }

 private:
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

  void share() {
    buffer_of_.resize(graph_.values().size());
    for (std::size_t v = 0; v < buffer_of_.size(); ++v) {
      Placement& p = plan_.placements[v];
      const int producer = graph_.values()[v].producer;
      int buffer = -1;
      if (producer >= 0) {
        const Node& node = graph_.nodes()[static_cast<std::size_t>(producer)];
        for (const int candidate : in_place_candidates(graph_, node)) {
          const auto b = static_cast<std::size_t>(buffer_of_[static_cast<std::size_t>(candidate)]);
          const bool view = std::holds_alternative<Flatten>(node.op);
          if (buffers_[b].last > producer && !view) continue;  // still read later
          p.shares = candidate;
          buffer = static_cast<int>(b);
          break;
        }
      }
      if (buffer < 0) {
        buffer = static_cast<int>(buffers_.size());
        buffers_.push_back({0, 0, p.first, p.last});
      }
      Buffer& b = buffers_[static_cast<std::size_t>(buffer)];
      b.bytes = std::max(b.bytes, round_up(p.bytes));
      b.first = std::min(b.first, p.first);
      b.last = std::max(b.last, p.last);
      buffer_of_[v] = buffer;
    }
  }

  void measure_live() {
    const std::size_t steps = graph_.nodes().size();
    std::vector<std::int64_t> change(steps + 1, 0);
    for (const Buffer& b : buffers_) {
      change[static_cast<std::size_t>(b.first)] += b.bytes;
      if (static_cast<std::size_t>(b.last) + 1 <= steps) change[static_cast<std::size_t>(b.last) + 1] -= b.bytes;
    }
    plan_.live_bytes.resize(steps);
    std::int64_t live = 0;
    for (std::size_t i = 0; i < steps; ++i) {
      live += change[i];
      plan_.live_bytes[i] = live;
      if (live > plan_.lower_bound_bytes) {
        plan_.lower_bound_bytes = live;
        plan_.peak_node = static_cast<int>(i);
      }
    }
  }

  // Puts the buffers, in the given order, each at the lowest offset that is free for its lifetime.
  std::int64_t first_fit(const std::vector<int>& order) {
    std::int64_t total = 0;
    placed_.clear();  // sorted by offset
    for (const int i : order) {
      Buffer& b = buffers_[static_cast<std::size_t>(i)];
      std::int64_t offset = 0;
      for (const int j : placed_) {
        const Buffer& other = buffers_[static_cast<std::size_t>(j)];
        if (other.last < b.first || other.first > b.last) continue;
        if (other.offset >= offset + b.bytes) break;
        offset = std::max(offset, other.offset + other.bytes);
      }
      b.offset = offset;
      total = std::max(total, offset + b.bytes);
      placed_.insert(std::upper_bound(placed_.begin(), placed_.end(), offset,
                                      [&](std::int64_t o, int j) { return o < buffers_[static_cast<std::size_t>(j)].offset; }),
                     i);
    }
    return total;
  }

  // First fit in several orders; the least arena wins. When none reaches the bound, buffers that stick out are moved
  // to the front and tried again, and then buffers at random: chains and residual blocks never come that far.
  void place() {
    std::vector<int> order(buffers_.size());
    std::iota(order.begin(), order.end(), 0);
    const auto by = [&](auto&& key) {
      std::stable_sort(order.begin(), order.end(),
                       [&](int a, int b) { return key(buffers_[static_cast<std::size_t>(a)]) > key(buffers_[static_cast<std::size_t>(b)]); });
    };
    std::vector<int> best_order;
    std::int64_t best = -1;
    const auto attempt = [&] {
      const std::int64_t total = first_fit(order);
      if (best < 0 || total <= best) {
        best = total;
        best_order = order;
      }
      return best == plan_.lower_bound_bytes;
    };
    by([](const Buffer& b) { return b.bytes; });
    bool done = attempt();
    if (!done) {
      by([](const Buffer& b) { return (b.last - b.first + 1) * b.bytes; });
      done = attempt();
    }
    if (!done) {
      by([](const Buffer& b) { return static_cast<std::int64_t>(b.last - b.first); });
      done = attempt();
    }
    for (std::size_t round = 0; !done && round < 2 * buffers_.size(); ++round) {
      const std::int64_t total = first_fit(order);
      const auto culprit = std::find_if(order.begin(), order.end(), [&](int i) {
        const Buffer& b = buffers_[static_cast<std::size_t>(i)];
        return b.offset + b.bytes == total;
      });
      std::rotate(order.begin(), culprit, culprit + 1);
      done = attempt();
    }
    Random random(0);
    for (int round = 0; !done && round < options_.search_rounds; ++round) {
      order = best_order;
      const auto pick = [&] { return order.begin() + random.below(static_cast<std::uint32_t>(order.size())); };
      const auto from = pick(), to = pick();
      if (from < to) std::rotate(from, from + 1, to + 1);
      else std::rotate(to, from, from + 1);
      done = attempt();
    }
    plan_.arena_bytes = first_fit(best_order);
  }

  const Graph& graph_;
  const PlanOptions options_;
  const std::int64_t alignment_;
  MemoryPlan plan_;
  std::vector<Buffer> buffers_;
  std::vector<int> buffer_of_, placed_;
};

}  // namespace

MemoryPlan plan_memory(const Graph& lowered, const PlanOptions& options) { return Planner(lowered, options).run(); }

}  // namespace micromind
