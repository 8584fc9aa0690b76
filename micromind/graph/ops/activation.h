#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// An element-wise function of its own node; lowering fuses relu and relu6 into the node before it.
struct Activation {
  static constexpr std::string_view kName = "activation";
  Function function = Function::relu;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("function", self.function);
  }
  bool operator==(const Activation&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    return {in[0]};
  }
};

}  // namespace micromind
