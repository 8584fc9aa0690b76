#include "micromind/deploy/emit_entries.h"

#include <algorithm>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/deploy/emit_names.h"

namespace micromind {
namespace {

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}
bool holds(const std::vector<int>& list, int v) {
  return std::find(list.begin(), list.end(), v) != list.end();
}

class EntryBuilder {
 public:
  EntryBuilder(const Graph& graph, const MemoryPlan& plan, const EntryPoint& entry)
      : graph_(graph), plan_(plan), entry_(entry) {}

  std::vector<int> nodes() {
    if (entry_.inputs.empty() || entry_.outputs.empty()) wrong("it has no inputs or no outputs");
    for (const std::vector<int>& list : {entry_.inputs, entry_.outputs})
      for (const int v : list)
        if (v < 0 || at(v) >= graph_.values().size())
          wrong("one of its values was fused into another; choose the value behind it");
    needed_.assign(graph_.nodes().size(), false);
    for (const int v : entry_.outputs) need(v);
    std::vector<int> list;
    for (std::size_t i = 0; i < needed_.size(); ++i)
      if (needed_[i]) list.push_back(static_cast<int>(i));
    check_memory(list);
    return list;
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    fail("emit", "entry point '{}': {}", entry_.name, what);
  }

  void need(int v) {
    if (holds(entry_.inputs, v)) return;
    const int producer = graph_.values()[at(v)].producer;
    if (producer < 0)
      wrong(fmt::format("it needs the input '{}', which is not among its inputs", graph_.value_name(v)));
    if (needed_[at(producer)]) return;
    needed_[at(producer)] = true;
    for (const int in : graph_.nodes()[at(producer)].inputs) need(in);
  }

  bool overlap(int u, int v) const {
    const Placement &a = plan_.placements[at(u)], &b = plan_.placements[at(v)];
    return a.bank == b.bank && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
  }

  // What the node writes must not lie on what a later node, or the caller, still reads. (What the node itself
  // reads is the whole plan's concern, which is valid here too.)
  void check_memory(const std::vector<int>& list) const {
    std::vector<int> last(graph_.values().size(), -1);
    for (const int v : entry_.outputs) last[at(v)] = std::numeric_limits<int>::max();
    for (auto i = list.rbegin(); i != list.rend(); ++i) {
      const Node& node = graph_.nodes()[at(*i)];
      for (const int v : node.inputs) {
        last[at(v)] = std::max(last[at(v)], *i);
        if (is_view(node.op))
          last[at(v)] = std::max(last[at(v)], last[at(node.outputs[0])]);
      }
    }
    std::vector<int> written = entry_.inputs;
    for (std::size_t k = 0; k < written.size(); ++k)
      for (std::size_t j = 0; j < k; ++j) check(written[j], written[k]);
    for (const int i : list) {
      const Node& node = graph_.nodes()[at(i)];
      if (!is_view(node.op))
        for (const int v : node.outputs)
          for (const int u : written)
            if (last[at(u)] > i) check(u, v);
      written.insert(written.end(), node.outputs.begin(), node.outputs.end());
    }
  }
  void check(int u, int v) const {
    if (overlap(u, v))
      wrong(fmt::format("'{}' and '{}' share memory in the plan of the whole run, but both are needed here",
                        graph_.value_name(u), graph_.value_name(v)));
  }

  const Graph& graph_;
  const MemoryPlan& plan_;
  const EntryPoint& entry_;
  std::vector<bool> needed_;
};

}  // namespace

std::vector<EntryProgram> make_entries(const Graph& graph, const MemoryPlan& plan) {
  std::vector<EntryProgram> entries;
  Identifiers runs(Identifiers::Case::lower), values(Identifiers::Case::lower);
  for (const EntryPoint& entry : graph.entry_points()) {
    EntryProgram& e = entries.emplace_back();
    e = {entry.name,
         runs.make(entry.name),
         EntryBuilder(graph, plan, entry).nodes(),
         entry.inputs,
         entry.outputs,
         {},
         {}};
    for (const int v : e.inputs) e.input_ids.push_back(values.make(e.id + "_input_" + graph.value_name(v)));
    for (const int v : e.outputs)
      e.output_ids.push_back(values.make(e.id + "_output_" + graph.value_name(v)));
  }
  return entries;
}

}  // namespace micromind
