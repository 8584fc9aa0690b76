#include "micromind/graph/ops/conv2d.h"

#include "micromind/base/error.h"

namespace micromind {

Shapes Conv2d::infer(ShapeSpan in) const {
  expect_inputs(kName, in, 1);
  expect_image(kName, in[0]);
  if (out_channels < 1 || groups < 1) fail(kName, "out_channels {} and groups {} must be at least 1", out_channels, groups);
  if (in[0].channels() % groups != 0 || out_channels % groups != 0)
    fail(kName, "{} groups must divide {} input and {} output channels", groups, in[0].channels(), out_channels);
  return {{out_channels, window_extent(kName, in[0][1], kernel.h, stride.h, dilation.h, padding.top, padding.bottom),
           window_extent(kName, in[0][2], kernel.w, stride.w, dilation.w, padding.left, padding.right)}};
}

std::vector<ParameterSpec> Conv2d::parameters(ShapeSpan in) const {
  std::vector<ParameterSpec> list = {{"weight", {out_channels, in[0].channels() / groups, kernel.h, kernel.w}}};
  if (bias) list.push_back({"bias", {out_channels}});
  return list;
}

std::int64_t Conv2d::macs(ShapeSpan in, ShapeSpan out) const {
  return weights(in[0]) * out[0].height() * out[0].width();
}

}  // namespace micromind
