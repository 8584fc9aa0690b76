#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// y = (x − mean)/√(var + eps)·weight + bias per channel (Ioffe and Szegedy 2015). `momentum` is PyTorch's: the
/// share of the batch's statistic in the new running statistic.
struct BatchNorm {
  static constexpr std::string_view kName = "batch_norm";
  float eps = 1e-5f;
  float momentum = 0.1f;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("eps", self.eps);
    visit("momentum", self.momentum);
  }
  bool operator==(const BatchNorm&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    return {in[0]};
  }
  std::vector<ParameterSpec> parameters(ShapeSpan in) const {
    const Shape channels = {in[0].channels()};
    return {{"weight", channels}, {"bias", channels}, {"running_mean", channels, false}, {"running_var", channels, false}};
  }
};

}  // namespace micromind
