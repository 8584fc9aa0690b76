#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Zeroes elements, or whole channels, with probability p while training and scales the rest by 1/(1 − p).
/// Identity at inference; lowering removes it.
struct Dropout {
  static constexpr std::string_view kName = "dropout";
  float p = 0.5f;
  bool channels = false;  ///< drop whole channels (PyTorch's Dropout2d)

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("p", self.p);
    visit("channels", self.channels);
  }
  bool operator==(const Dropout&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    if (!(p >= 0 && p < 1)) bad_shape(kName, "p must be in [0, 1)");
    return {in[0]};
  }
};

}  // namespace micromind
