// A network that trains in milliseconds: 1×6×6 images to three scores.
#pragma once

#include "micromind/graph/graph.h"

namespace micromind::testing {

inline Graph toy_graph() {
  Graph g("toy");
  int x = g.add_input("image", {1, 6, 6});
  x = g.add("conv", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1, .bias = false}, {x});
  x = g.add("norm", BatchNorm{.eps = 1e-3f, .momentum = 0.999f}, {x});
  x = g.add("act", Activation{Function::hard_swish}, {x});
  x = g.add("drop", Dropout{.p = 0.2f, .channels = true}, {x});
  x = g.add("depthwise", Conv2d{.out_channels = 8, .kernel = 3, .stride = 2, .padding = 1, .groups = 8}, {x});
  x = g.add("relu", Activation{Function::relu}, {x});
  x = g.add("pool", AdaptiveAvgPool2d{.output = 1}, {x});
  x = g.add("flatten", Flatten{}, {x});
  g.add_output("scores", g.add("classifier", Linear{.out_features = 3}, {x}));
  return g;
}

}  // namespace micromind::testing
