#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Changes an int8 tensor's scale and zero point (TFLite's QUANTIZE from int8 to int8). Identity on floats.
struct Requantize {
  static constexpr std::string_view kName = "requantize";

  template <class Self, class Visit>
  static void attributes(Self&, Visit&&) {}
  bool operator==(const Requantize&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    return {in[0]};
  }
};

}  // namespace micromind
