#pragma once

#include <algorithm>

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Element-wise product with broadcast of extents of one: (C, H, W) × (C, 1, 1) scales channels (squeeze-excite).
struct Multiply {
  static constexpr std::string_view kName = "multiply";

  template <class Self, class Visit>
  static void attributes(Self&, Visit&&) {}
  bool operator==(const Multiply&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 2);
    const auto mismatch = [&] { bad_shape(kName, "cannot broadcast " + to_string(in[0]) + " and " + to_string(in[1])); };
    if (in[0].rank() != in[1].rank()) mismatch();
    Shape out = in[0];
    for (int i = 0; i < out.rank(); ++i) {
      if (in[0][i] != in[1][i] && in[0][i] != 1 && in[1][i] != 1) mismatch();
      out.set(i, std::max(in[0][i], in[1][i]));
    }
    return {out};
  }
};

}  // namespace micromind
