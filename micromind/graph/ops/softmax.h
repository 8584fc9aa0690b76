#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// exp(x − max)/Σ over the channels.
struct Softmax {
  static constexpr std::string_view kName = "softmax";

  template <class Self, class Visit>
  static void attributes(Self&, Visit&&) {}
  bool operator==(const Softmax&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    return {in[0]};
  }
};

}  // namespace micromind
