#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Cuts a tensor along `axis` (0 = channels) into parts of the given sizes, one output each.
struct Split {
  static constexpr std::string_view kName = "split";
  std::int32_t axis = 0;
  std::vector<std::int32_t> sizes;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("axis", self.axis);
    visit("sizes", self.sizes);
  }
  bool operator==(const Split&) const = default;
  Shapes infer(ShapeSpan in) const;
};

}  // namespace micromind
