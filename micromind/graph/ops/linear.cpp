#include "micromind/graph/ops/linear.h"

#include "micromind/base/error.h"

namespace micromind {

Shapes Linear::infer(ShapeSpan in) const {
  expect_inputs(kName, in, 1);
  if (in[0].rank() != 1)
    fail_with_hint(kName, "put a flatten in front", "expected a vector (C), found {}", to_string(in[0]));
  if (out_features < 1) fail(kName, "out_features {} must be at least 1", out_features);
  return {{out_features}};
}

std::vector<ParameterSpec> Linear::parameters(ShapeSpan in) const {
  std::vector<ParameterSpec> list = {{"weight", {out_features, in[0][0]}}};
  if (bias) list.push_back({"bias", {out_features}});
  return list;
}

std::int64_t Linear::macs(ShapeSpan in, ShapeSpan) const { return weights(in[0]); }

}  // namespace micromind
