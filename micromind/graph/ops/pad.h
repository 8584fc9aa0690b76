#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Adds rows and columns of zeros around an image. Lowering merges it into the convolution behind it.
struct Pad {
  static constexpr std::string_view kName = "pad";
  Padding padding;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("padding", self.padding);
  }
  bool operator==(const Pad&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    expect_image(kName, in[0]);
    if (padding.top < 0 || padding.bottom < 0 || padding.left < 0 || padding.right < 0) bad_shape(kName, "padding must not be negative");
    return {{in[0][0], in[0][1] + padding.top + padding.bottom, in[0][2] + padding.left + padding.right}};
  }
};

}  // namespace micromind
