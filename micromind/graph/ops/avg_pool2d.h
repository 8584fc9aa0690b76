#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Mean of each window; padding is not counted (count_include_pad = false). (C, H, W) → (C, H', W').
struct AvgPool2d {
  static constexpr std::string_view kName = "avg_pool2d";
  Size kernel = 2, stride = 2;
  Padding padding;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("kernel", self.kernel);
    visit("stride", self.stride);
    visit("padding", self.padding);
  }
  bool operator==(const AvgPool2d&) const = default;
  Shapes infer(ShapeSpan in) const { return infer_pool(kName, in, kernel, stride, padding); }
};

}  // namespace micromind
