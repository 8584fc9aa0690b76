#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Fully connected layer: (C) → (out_features). Weight: out × in.
struct Linear {
  static constexpr std::string_view kName = "linear";
  std::int32_t out_features = 0;
  bool bias = true;
  Function activation = Function::none;  ///< fused behind the bias; set by lowering

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("out_features", self.out_features);
    visit("bias", self.bias);
    visit("activation", self.activation);
  }
  bool operator==(const Linear&) const = default;
  Shapes infer(ShapeSpan in) const;
  std::vector<ParameterSpec> parameters(ShapeSpan in) const;
  std::int64_t weights(const Shape& in) const { return std::int64_t{out_features} * in[0]; }
  std::int64_t macs(ShapeSpan in, ShapeSpan out) const;
};

}  // namespace micromind
