#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Joins tensors along `axis` (0 = channels); the other extents must agree.
struct Concat {
  static constexpr std::string_view kName = "concat";
  std::int32_t axis = 0;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("axis", self.axis);
  }
  bool operator==(const Concat&) const = default;
  Shapes infer(ShapeSpan in) const;
};

}  // namespace micromind
