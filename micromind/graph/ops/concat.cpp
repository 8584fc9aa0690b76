#include "micromind/graph/ops/concat.h"

#include "micromind/base/error.h"

namespace micromind {

Shapes Concat::infer(ShapeSpan in) const {
  if (in.empty()) fail(kName, "expected at least one input");
  if (axis < 0 || axis >= in[0].rank()) fail(kName, "axis {} is outside the rank of {}", axis, to_string(in[0]));
  Shape out = in[0];
  for (std::size_t i = 1; i < in.size(); ++i) {
    bool fits = in[i].rank() == out.rank();
    for (int d = 0; fits && d < out.rank(); ++d) fits = d == axis || in[i][d] == out[d];
    if (!fits) fail(kName, "input {} is {}, which does not join {} along axis {}", i, to_string(in[i]), to_string(in[0]), axis);
    out.set(axis, out[axis] + in[i][axis]);
  }
  return {out};
}

}  // namespace micromind
