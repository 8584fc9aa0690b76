// Values that have no memory of their own: a view (flatten, take_rows) lies in its input, a band of rows in the join_rows
// that it belongs to, whose producer therefore writes straight into the whole.
#pragma once

#include <cstdint>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

/// The value's first byte is byte `offset` of the value `host`, which has memory of its own; {itself, 0} for all others.
struct View {
  int host = -1;
  std::int64_t offset = 0;
};

/// Per value of the graph. Throws Error that names the value when a band would have to be in two places.
std::vector<View> find_views(const Graph& graph);

}  // namespace micromind
