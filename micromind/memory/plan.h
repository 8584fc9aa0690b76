// Where every activation lies in the arena. One planner serves cost, scaling, host execution and the emitted C.
#pragma once

#include <cstdint>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct PlanOptions {
  std::int64_t alignment = 4;  ///< of every tensor, bytes; kernels load words
  int search_rounds = 300;     ///< of improvement where first fit misses the lower bound
};

/// A tensor's place: [offset, offset + bytes) of the arena from the step `first` to the step `last`, inclusive.
/// Step i is node i; inputs are there from step 0, outputs and states stay until the step behind the last.
struct Placement {
  std::int64_t offset = 0, bytes = 0;
  int first = 0, last = 0;
  int shares = -1;  ///< the value whose memory it takes over (in-place operator, flatten), or −1
};

struct MemoryPlan {
  std::vector<Placement> placements;      ///< per value of the graph
  std::int64_t arena_bytes = 0;
  std::int64_t lower_bound_bytes = 0;     ///< largest sum of live tensors for this order and sharing: no placement does with less
  std::vector<std::int64_t> live_bytes;   ///< per node: what is live while it runs
  int peak_node = -1;                     ///< the node with most live bytes
};

/// Plans a lowered graph in its own order. An element-wise operator works in place when its input dies there.
/// Deterministic; O(n²) in the number of tensors.
MemoryPlan plan_memory(const Graph& lowered, const PlanOptions& options = {});

}  // namespace micromind
