#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Nearest-neighbour upsampling by whole factors: (C, H, W) → (C, H·scale.h, W·scale.w).
struct Upsample {
  static constexpr std::string_view kName = "upsample";
  Size scale = 2;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("scale", self.scale);
  }
  bool operator==(const Upsample&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    expect_image(kName, in[0]);
    if (scale.h < 1 || scale.w < 1) bad_shape(kName, "the scale must be at least 1");
    return {{in[0][0], in[0][1] * scale.h, in[0][2] * scale.w}};
  }
};

}  // namespace micromind
