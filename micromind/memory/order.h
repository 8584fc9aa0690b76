// The order of operators that needs the least memory at once.
//
// A graph that branches can run in many orders. What is live at a step depends only on the set of nodes that ran before, so
// from a set (a down-set of the graph) the rest can run within a limit or it cannot, however the set was reached. A depth-first
// search for an order whose largest step (MemoryPlan::step_bound_bytes) is below the best so far remembers the sets from which
// it failed; when nothing is left, the best is proven. Most graphs need none of it: a chain has one order; and an order is
// known to be best when its largest step is that of the nodes' own needs: what a node reads and writes, and every value that
// has a reader behind the node and its producer before it, whatever the order.
#pragma once

#include <cstdint>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct OrderOptions {
  /// Sets that the search may visit. What it found by then is used but not proven; it goes for the least live bytes first.
  int states = 2000;
};

struct NodeOrder {
  std::vector<int> nodes;              ///< in the order to run; the graph's own unless another needs less
  std::int64_t given_bytes = 0;        ///< largest step of the graph's own order, as a plan's step_bound_bytes
  std::int64_t bytes = 0;              ///< of `nodes`
  std::int64_t lower_bound_bytes = 0;  ///< no order has a largest step below this
  bool proven() const { return bytes == lower_bound_bytes; }
  bool changed() const { return bytes < given_bytes; }
};

/// Deterministic. `lowered` as from lower().
NodeOrder best_order(const Graph& lowered, const OrderOptions& options = {});

/// Whether there is but one order: each node reads what the one before it made.
bool is_chain(const Graph& graph);

/// The best order's nodes when the arena as placed is smaller with it; else, and for chains, nothing.
std::vector<int> order_for_arena(const Graph& lowered);

/// The graph in that order; itself where nothing is gained.
Graph in_best_order(Graph graph);

/// The graph with its nodes in another order, in which they can run. Values are numbered anew: value v becomes (*value_of)[v].
Graph reorder(const Graph& graph, const std::vector<int>& nodes, std::vector<int>* value_of = nullptr);

}  // namespace micromind
