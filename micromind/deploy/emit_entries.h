// Further entry points: which nodes run between the given values, and whether the memory plan, which was made
// for the whole run, serves that part as well. Private to the emitter.
#pragma once

#include <string>
#include <vector>

#include "micromind/graph/graph.h"
#include "micromind/memory/plan.h"

namespace micromind {

struct EntryProgram {
  std::string name;                                ///< as in the graph
  std::string id;                                  ///< model_run_<id>
  std::vector<int> nodes;                          ///< that run, in order
  std::vector<int> inputs, outputs;                ///< values
  std::vector<std::string> input_ids, output_ids;  ///< model_entry_<id>(arena) leads to a value
};

/// Throws Error that names the entry point when it needs a value that is neither given nor computed, when
/// lowering fused one of its values away, and when two of its values would share memory while both are
/// needed.
std::vector<EntryProgram> make_entries(const Graph& graph, const MemoryPlan& plan);

}  // namespace micromind
