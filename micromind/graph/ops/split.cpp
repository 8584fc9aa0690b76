#include "micromind/graph/ops/split.h"

#include <algorithm>
#include <numeric>

#include "micromind/base/error.h"

namespace micromind {

Shapes Split::infer(ShapeSpan in) const {
  expect_inputs(kName, in, 1);
  if (axis < 0 || axis >= in[0].rank()) fail(kName, "axis {} is outside the rank of {}", axis, to_string(in[0]));
  const std::int64_t sum = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  if (sizes.empty() || sum != in[0][axis] || std::any_of(sizes.begin(), sizes.end(), [](int s) { return s < 1; }))
    fail(kName, "sizes {} do not add up to {} along axis {}", fmt::join(sizes, "+"), in[0][axis], axis);
  Shapes out(sizes.size(), in[0]);
  for (std::size_t i = 0; i < sizes.size(); ++i) out[i].set(axis, sizes[i]);
  return out;
}

}  // namespace micromind
