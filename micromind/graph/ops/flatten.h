#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// (C, H, W) → (C·H·W) in that order. In a lowered graph the order is the runtime's, (H, W, C), and the linear
/// layer behind it has its columns permuted accordingly.
struct Flatten {
  static constexpr std::string_view kName = "flatten";

  template <class Self, class Visit>
  static void attributes(Self&, Visit&&) {}
  bool operator==(const Flatten&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    return {{static_cast<std::int32_t>(in[0].elements())}};
  }
};

}  // namespace micromind
