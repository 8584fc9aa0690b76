#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Element-wise sum of two tensors of one shape (residual connections).
struct Add {
  static constexpr std::string_view kName = "add";
  Function activation = Function::none;  ///< fused; set by lowering

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("activation", self.activation);
  }
  bool operator==(const Add&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 2);
    if (!(in[0] == in[1])) bad_shape(kName, "shapes differ: " + to_string(in[0]) + " and " + to_string(in[1]));
    return {in[0]};
  }
};

}  // namespace micromind
