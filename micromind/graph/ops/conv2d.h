#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// Standard, grouped, depthwise (groups = input channels) and pointwise (1×1) convolution with explicit zero
/// padding. (C, H, W) → (out_channels, H', W'). Weight: out × in/groups × KH × KW.
struct Conv2d {
  static constexpr std::string_view kName = "conv2d";
  std::int32_t out_channels = 0;
  Size kernel = 1, stride = 1, dilation = 1;
  Padding padding;
  std::int32_t groups = 1;
  bool bias = true;
  Function activation = Function::none;  ///< fused behind the bias; set by lowering

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("out_channels", self.out_channels);
    visit("kernel", self.kernel);
    visit("stride", self.stride);
    visit("dilation", self.dilation);
    visit("padding", self.padding);
    visit("groups", self.groups);
    visit("bias", self.bias);
    visit("activation", self.activation);
  }
  bool operator==(const Conv2d&) const = default;
  Shapes infer(ShapeSpan in) const;
  std::vector<ParameterSpec> parameters(ShapeSpan in) const;
  std::int64_t macs(ShapeSpan in, ShapeSpan out) const;
  /// Numbers in the weight; each meets every pixel of the output once.
  std::int64_t weights(const Shape& in) const {
    return std::int64_t{out_channels} * (in.channels() / groups) * kernel.h * kernel.w;
  }
  /// Each output channel sees one input channel: the weights are (KH, KW, C) in the runtime.
  bool depthwise(const Shape& in) const { return groups > 1 && groups == in.channels(); }
  bool pointwise() const { return kernel == Size(1) && stride == Size(1) && groups == 1 && !padding.any(); }
};

}  // namespace micromind
