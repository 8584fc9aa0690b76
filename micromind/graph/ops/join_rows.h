#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Bands of rows, one below another, as one image: n × (C, H_i, W) → (C, ΣH_i, W). The planner lets each band's producer
/// write straight into the whole, so nothing is copied and nothing runs: a band has no other place, so it may belong to
/// one join only and must be computed (no input of the graph, no view). Made by split_rows() (memory/patches.h).
struct JoinRows {
  static constexpr std::string_view kName = "join_rows";

  template <class Self, class Visit>
  static void attributes(Self&, Visit&&) {}
  bool operator==(const JoinRows&) const = default;
  Shapes infer(ShapeSpan in) const {
    if (in.empty()) bad_shape(kName, "expected at least one band");
    Shape out = in[0];
    for (std::size_t k = 0; k < in.size(); ++k) {
      expect_image(kName, in[k]);
      if (in[k][0] != out[0] || in[k][2] != out[2])
        bad_shape(kName, "bands of " + to_string(in[0]) + " and " + to_string(in[k]) + " differ in channels or width");
      if (k > 0) out.set(1, out[1] + in[k][1]);
    }
    return {out};
  }
};

}  // namespace micromind
