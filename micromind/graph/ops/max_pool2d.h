#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Largest value of each window; padding never wins. (C, H, W) → (C, H', W').
struct MaxPool2d {
  static constexpr std::string_view kName = "max_pool2d";
  Size kernel = 2, stride = 2;
  Padding padding;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("kernel", self.kernel);
    visit("stride", self.stride);
    visit("padding", self.padding);
  }
  bool operator==(const MaxPool2d&) const = default;
  Shapes infer(ShapeSpan in) const { return infer_pool(kName, in, kernel, stride, padding); }
};

}  // namespace micromind
