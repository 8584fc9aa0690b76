#include "micromind/memory/order.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "micromind/base/error.h"
#include "micromind/memory/overlap.h"
#include "micromind/memory/plan.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

using Word = std::uint64_t;
// A set of nodes.
using Set = std::vector<Word>;
bool has(const Set& s, int i) { return (s[at(i) / 64] >> (at(i) % 64) & 1) != 0; }
void insert(Set& s, int i) { s[at(i) / 64] |= Word{1} << (at(i) % 64); }
bool within(const Set& a, const Set& b) {
  for (std::size_t w = 0; w < a.size(); ++w)
    if ((a[w] & ~b[w]) != 0) return false;
  return true;
}
bool disjoint(const Set& a, const Set& b) {
  for (std::size_t w = 0; w < a.size(); ++w)
    if ((a[w] & b[w]) != 0) return false;
  return true;
}

// What of a graph the search needs.
class Problem {
 public:
  struct Tensor {
    std::int64_t bytes = 0;
    int producer = -1;
    Set readers;
    bool kept = false;  // a graph output or state: never dies
  };
  struct Step {
    std::vector<int> inputs, outputs;  // tensors; views are the tensor that they look at
    std::vector<int> in_place;         // inputs that the output may take over
    std::int64_t beside = 0;           // bytes of the output beside a dying input, when it may lie over a part of it
    bool overlaps = false;
    Set before;                        // nodes that must have run
  };

  explicit Problem(const Graph& graph) : words_((graph.nodes().size() + 63) / 64) {
    const PlanOptions options;
    const auto round_up = [&](std::int64_t n) { return (n + options.alignment - 1) / options.alignment * options.alignment; };
    tensor_of_.resize(graph.values().size());
    std::iota(tensor_of_.begin(), tensor_of_.end(), 0);
    for (const Node& node : graph.nodes())
      if (std::holds_alternative<Flatten>(node.op)) tensor_of_[at(node.outputs[0])] = tensor_of_[at(node.inputs[0])];
    tensors_.resize(graph.values().size());
    for (std::size_t v = 0; v < tensors_.size(); ++v) {
      const TensorType& type = graph.values()[v].type;
      tensors_[v] = {round_up(type.shape.elements() * byte_size(type.element)), graph.values()[v].producer, Set(words_), false};
    }
    const auto keep = [&](int v) { tensors_[at(tensor_of_[at(v)])].kept = true; };
    for (const Port& o : graph.outputs()) keep(o.value);
    for (const State& s : graph.states()) {
      keep(s.input);
      keep(s.output);
      always_.push_back(tensor_of_[at(s.input)]);
      always_.push_back(tensor_of_[at(s.output)]);
    }
    for (const Port& i : graph.inputs()) always_.push_back(i.value);
    std::sort(always_.begin(), always_.end());
    always_.erase(std::unique(always_.begin(), always_.end()), always_.end());
    for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
      const Node& node = graph.nodes()[n];
      Step step;
      step.before.resize(words_);
      for (const int v : node.inputs) {
        const int t = tensor_of_[at(v)];
        if (std::find(step.inputs.begin(), step.inputs.end(), t) == step.inputs.end()) step.inputs.push_back(t);
        insert(tensors_[at(t)].readers, static_cast<int>(n));
        if (graph.values()[at(v)].producer >= 0) insert(step.before, graph.values()[at(v)].producer);
      }
      for (const int v : node.outputs)
        if (tensor_of_[at(v)] == v && !std::binary_search(always_.begin(), always_.end(), v)) step.outputs.push_back(v);
      if (!std::holds_alternative<Flatten>(node.op))
        for (const int v : in_place_candidates(graph, node)) step.in_place.push_back(tensor_of_[at(v)]);
      if (node.inputs.size() == 1 && step.outputs.size() == 1) {
        if (const auto d = overlap(node.op, graph.shape(node.inputs[0]), graph.shape(node.outputs[0]))) {
          step.overlaps = true;
          step.beside = *d >= 0 ? 0 : round_up(-*d);
        }
      }
      steps_.push_back(std::move(step));
    }
  }

  std::size_t words() const { return words_; }
  int count() const { return static_cast<int>(steps_.size()); }
  const Step& step(int n) const { return steps_[at(n)]; }
  int tensors() const { return static_cast<int>(tensors_.size()); }
  bool is_tensor(int v) const { return tensor_of_[at(v)] == v; }
  const Tensor& tensor(int t) const { return tensors_[at(t)]; }
  const std::vector<int>& always() const { return always_; }

  std::int64_t start() const {
    std::int64_t bytes = 0;
    for (const int t : always_) bytes += tensor(t).bytes;
    return bytes;
  }

  // Runs node n, behind which `ran` is the set of all that ran. Returns the need of the step; `live` goes from before to behind.
  std::int64_t run(int n, const Set& ran, std::int64_t& live) const {
    const Step& s = step(n);
    const auto dies = [&](int t) { return !tensor(t).kept && within(tensor(t).readers, ran); };
    std::int64_t fresh = 0;
    for (const int t : s.outputs) fresh += tensor(t).bytes;
    std::int64_t need = live + fresh;
    if (std::any_of(s.in_place.begin(), s.in_place.end(), dies)) need -= fresh;
    else if (s.overlaps && dies(s.inputs[0])) need -= fresh - std::min(s.beside, fresh);
    live += fresh;
    for (const int t : s.inputs)
      if (dies(t)) live -= tensor(t).bytes;
    for (const int t : s.outputs)
      if (dies(t)) live -= tensor(t).bytes;  // read by none
    return need;
  }

 private:
  std::size_t words_;
  std::vector<int> tensor_of_;
  std::vector<Tensor> tensors_;
  std::vector<Step> steps_;
  std::vector<int> always_;  // live from the start: inputs, states
};

// The largest need of a node among what is certainly live beside it.
std::int64_t bound_of_any_order(const Problem& problem) {
  const int n = problem.count();
  std::vector<Set> before(at(n), Set(problem.words())), behind(at(n), Set(problem.words()));  // ancestors, descendants
  for (int i = 0; i < n; ++i) {
    before[at(i)] = problem.step(i).before;
    for (int j = 0; j < i; ++j)
      if (has(problem.step(i).before, j))
        for (std::size_t w = 0; w < problem.words(); ++w) before[at(i)][w] |= before[at(j)][w];
    for (int j = 0; j < i; ++j)
      if (has(before[at(i)], j)) insert(behind[at(j)], i);
  }
  std::int64_t most = 0;
  for (int i = 0; i < n; ++i) {
    const Problem::Step& s = problem.step(i);
    std::int64_t others = 0, inputs = 0, fresh = 0;
    bool may_die = s.inputs.size() == 1;  // the input: nothing behind it reads it
    const auto certain = [&](int t) {
      const Problem::Tensor& tensor = problem.tensor(t);
      const bool there = std::binary_search(problem.always().begin(), problem.always().end(), t) || (tensor.producer >= 0 && has(before[at(i)], tensor.producer));
      return there && (tensor.kept || !disjoint(tensor.readers, behind[at(i)]));
    };
    for (int t = 0; t < problem.tensors(); ++t)
      if (std::find(s.inputs.begin(), s.inputs.end(), t) == s.inputs.end() && problem.is_tensor(t) && certain(t)) others += problem.tensor(t).bytes;
    for (const int t : s.inputs) {
      inputs += problem.tensor(t).bytes;
      may_die = may_die && !certain(t);
    }
    for (const int t : s.outputs) fresh += problem.tensor(t).bytes;
    if (std::any_of(s.in_place.begin(), s.in_place.end(), [&](int t) { return !certain(t); })) fresh = 0;
    else if (s.overlaps && may_die) fresh = std::min(fresh, s.beside);
    most = std::max(most, others + inputs + fresh);
  }
  return most;
}

// Depth first, with memory of the sets from which no order stays below a limit; limits only fall.
class Search {
 public:
  Search(const Problem& problem, std::int64_t bound, int states) : problem_(problem), bound_(bound), left_(states) {}

  // An order whose largest step is below `limit`; false: there is none, or the states are used up.
  bool below(std::int64_t limit) {
    limit_ = limit;
    nodes_.clear();
    return go(Set(problem_.words()), problem_.start());
  }
  bool complete() const { return left_ > 0; }
  const std::vector<int>& nodes() const { return nodes_; }

 private:
  struct Move {
    int node;
    std::int64_t live, need;
  };

  bool go(const Set& ran, std::int64_t live) {
    if (nodes_.size() == at(problem_.count())) return true;
    if (failed_.contains(ran) || left_ <= 0) return false;
    --left_;
    std::vector<Move> moves;
    Set after;
    for (int n = 0; n < problem_.count(); ++n) {
      if (has(ran, n) || !within(problem_.step(n).before, ran)) continue;
      after = ran;
      insert(after, n);
      Move move{n, live, 0};
      move.need = problem_.run(n, after, move.live);
      // Free: within what any order needs, and nothing is larger behind it. Whatever else runs first, this loses nothing.
      if (move.need <= bound_ && move.live <= live) {
        moves.assign(1, move);
        break;
      }
      if (move.need < limit_) moves.push_back(move);
    }
    std::stable_sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) { return a.live < b.live; });
    for (const Move& move : moves) {
      after = ran;
      insert(after, move.node);
      nodes_.push_back(move.node);
      if (go(after, move.live)) return true;
      nodes_.pop_back();
      if (left_ <= 0) return false;
    }
    failed_.insert(ran);
    return false;
  }

  const Problem& problem_;
  const std::int64_t bound_;  // that no order is below
  std::int64_t limit_ = 0;
  int left_;
  std::vector<int> nodes_;
  std::set<Set> failed_;
};

// The largest step of the nodes in this order.
std::int64_t largest_step(const Problem& problem, const std::vector<int>& nodes) {
  Set ran(problem.words());
  std::int64_t live = problem.start(), most = 0;
  for (const int n : nodes) {
    insert(ran, n);
    most = std::max(most, problem.run(n, ran, live));
  }
  return most;
}

}  // namespace

bool is_chain(const Graph& graph) {
  for (std::size_t i = 1; i < graph.nodes().size(); ++i) {
    const std::vector<int>& in = graph.nodes()[i].inputs;
    if (std::none_of(in.begin(), in.end(), [&](int v) { return graph.values()[at(v)].producer == static_cast<int>(i) - 1; })) return false;
  }
  return true;
}

NodeOrder best_order(const Graph& lowered, const OrderOptions& options) {
  const Problem problem(lowered);
  NodeOrder order;
  order.nodes.resize(lowered.nodes().size());
  std::iota(order.nodes.begin(), order.nodes.end(), 0);
  order.given_bytes = order.bytes = largest_step(problem, order.nodes);
  order.lower_bound_bytes = is_chain(lowered) ? order.bytes : bound_of_any_order(problem);
  Search search(problem, order.lower_bound_bytes, options.states);
  while (!order.proven() && search.below(order.bytes)) {
    order.nodes = search.nodes();
    order.bytes = largest_step(problem, order.nodes);
  }
  if (!order.proven() && search.complete()) order.lower_bound_bytes = order.bytes;
  return order;
}

std::vector<int> order_for_arena(const Graph& lowered) {
  if (is_chain(lowered)) return {};
  NodeOrder order = best_order(lowered);
  if (!order.changed() || plan_memory(reorder(lowered, order.nodes)).arena_bytes >= plan_memory(lowered).arena_bytes) return {};
  return std::move(order.nodes);
}

Graph in_best_order(Graph graph) {
  const std::vector<int> nodes = order_for_arena(graph);
  return nodes.empty() ? graph : reorder(graph, nodes);
}

Graph reorder(const Graph& graph, const std::vector<int>& nodes, std::vector<int>* value_of) {
  if (nodes.size() != graph.nodes().size()) fail("memory", "{}: an order of {} nodes for {}", graph.name, nodes.size(), graph.nodes().size());
  Graph out(graph.name);
  out.reserve(nodes.size());
  std::vector<int> mapped(graph.values().size(), -1);
  const auto all = [&](const std::vector<int>& values) {
    std::vector<int> list;
    for (const int v : values) list.push_back(mapped[at(v)]);
    return list;
  };
  for (const Port& i : graph.inputs()) mapped[at(i.value)] = out.add_input(i.name, graph.type(i.value));
  for (const int n : nodes) {
    const Node& node = graph.nodes().at(at(n));
    const int first = out.add(node.name, node.op, all(node.inputs));
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      mapped[at(node.outputs[k])] = first + static_cast<int>(k);
      out.type(first + static_cast<int>(k)) = graph.type(node.outputs[k]);
    }
  }
  for (const Port& o : graph.outputs()) out.add_output(o.name, mapped[at(o.value)]);
  for (const EntryPoint& e : graph.entry_points()) out.add_entry_point({e.name, all(e.inputs), all(e.outputs)});
  for (const State& s : graph.states()) out.add_state({s.name, mapped[at(s.input)], mapped[at(s.output)]});
  for (const std::string& p : graph.mutable_parameters()) out.add_mutable_parameter(p);
  if (value_of != nullptr) *value_of = std::move(mapped);
  return out;
}

}  // namespace micromind
