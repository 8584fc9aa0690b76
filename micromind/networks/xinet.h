// XiNets: Ancilotto, Paissan, Farella, "XiNet: efficient neural networks for tinyML", ICCV 2023, as micromind's Python
// package builds them: standard convolutions on compressed channels, the output of the first XiConv broadcast to all
// later ones, attention on all but the last two.
//
//   const Graph g = xinet({.input = {3, 96, 96}, .alpha = 0.5, .include_top = true, .num_classes = 10});
#pragma once

#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct XiNetOptions {
  Shape input{3, 224, 224};  ///< key "input_shape"
  double alpha = 1;          ///< width multiplier
  double gamma = 4;          ///< compression, truncated to a whole number; the last two XiConvs keep 4
  int num_layers = 5;        ///< 3 to 12; there are 2·(num_layers − 1) XiConvs
  int num_classes = 1000;
  bool include_top = false;
  int base_filters = 16;     ///< 4 or 16: stage i has ⌊2^(√base + i)·alpha⌋ channels, which meets the stem only there
  std::vector<int> return_layers = {};  ///< further outputs "layer<i>": i counts the XiConvs

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("alpha", self.alpha);
    visit("gamma", self.gamma);
    visit("num_layers", self.num_layers);
    visit("num_classes", self.num_classes);
    visit("include_top", self.include_top);
    visit("base_filters", self.base_filters);
    visit("return_layers", self.return_layers);
  }
};

/// Input "image"; output "logits" with include_top, else "features"; then "layer<i>" in ascending order.
/// Nodes: stem.*, layers.<i>.*, head.*, classifier. Where the reference fails on extents that are no multiples of
/// 2^num_layers, the broadcast tensor is averaged to the size that is there.
/// Throws Error "[xinet] …" on values out of range and on inputs that shrink to nothing.
Graph xinet(const XiNetOptions& options = {});

}  // namespace micromind
