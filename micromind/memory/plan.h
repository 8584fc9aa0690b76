// Where every activation lies in the arena. One planner serves cost, scaling, host execution and the emitted C.
#pragma once

#include <cstdint>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct PlanOptions {
  std::int64_t alignment = 4;  ///< of every tensor, bytes; kernels load words
  int search_rounds = 300;     ///< of improvement where first fit misses the lower bound; 0: none, only bounds and lives are wanted
  bool overlap = true;         ///< outputs may lie partly over their dying inputs (overlap.h)
  /// Room in each RAM bank, in order of preference: where the first is too small, tensors are spread over all of them (banks.h).
  /// Empty: one bank that is large enough.
  std::vector<std::int64_t> rooms = {};
};

/// A tensor's place: [offset, offset + bytes) of the bank's arena from the step `first` to the step `last`, inclusive.
/// Step i is node i; inputs are there from step 0, outputs and states stay until the step behind the last.
struct Placement {
  std::int64_t offset = 0, bytes = 0;
  int first = 0, last = 0;
  int bank = 0;       ///< index into bank_bytes
  int shares = -1;    ///< the value whose memory it takes over (in-place operator) or in which it lies (views.h), or −1
  int overlaps = -1;  ///< the dying input that it may be written over in part, and is where their bytes meet, or −1
};

struct MemoryPlan {
  bool spread() const { return bank_bytes.size() > 1; }  ///< over several banks
  std::vector<Placement> placements;      ///< per value of the graph
  std::int64_t arena_bytes = 0;           ///< of all banks
  std::vector<std::int64_t> bank_bytes;   ///< of each: one, or as many as PlanOptions::rooms; 0 for a bank without tensors
  std::int64_t lower_bound_bytes = 0;     ///< no placement does with less, for this order and sharing
  std::int64_t step_bound_bytes = 0;      ///< largest of live_bytes: a weaker bound, which grows with every tensor
  std::vector<std::int64_t> live_bytes;   ///< per node: the least room that what is live while it runs can have
  int peak_node = -1;                     ///< the node with most live bytes

  bool minimal() const { return arena_bytes == lower_bound_bytes; }
};

/// Plans a lowered graph in its own order (order.h finds a better one). An element-wise operator works in place when its input
/// dies there; a convolution or pooling is written over the part of its dying input that is not needed any more; what strips
/// compute, over rows of their input that no later strip reads. Deterministic. Chains are placed at their proven minimum.
/// With rooms too small for any placement that is tried the plan is that of one bank: arena_bytes tells.
MemoryPlan plan_memory(const Graph& lowered, const PlanOptions& options = {});

/// Inputs whose memory the output of an element-wise node may take over when they die there, in order of preference;
/// flatten's output always shares.
std::vector<int> in_place_candidates(const Graph& lowered, const Node& node);

/// The values live at a step, those that share memory once: what "the peak" consists of. Sorted by offset.
std::vector<int> live_values(const MemoryPlan& plan, int step);

}  // namespace micromind
