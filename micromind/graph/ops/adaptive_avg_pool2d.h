#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Mean over bins [⌊i·H/H'⌋, ⌈(i+1)·H/H'⌉): PyTorch's adaptive pooling. `output = 1` is global average pooling.
struct AdaptiveAvgPool2d {
  static constexpr std::string_view kName = "adaptive_avg_pool2d";
  Size output = 1;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("output", self.output);
  }
  bool operator==(const AdaptiveAvgPool2d&) const = default;
  bool global() const { return output == Size(1); }
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    expect_image(kName, in[0]);
    if (output.h < 1 || output.w < 1) bad_shape(kName, "the output must be at least 1×1");
    return {{in[0][0], output.h, output.w}};
  }
};

}  // namespace micromind
