// What the tests of tasks train: a recipe on drawn pictures, and a network for them.
#pragma once

#include <fmt/format.h>

#include "micromind/graph/graph.h"
#include "micromind/run/recipe.h"

namespace micromind::testing {

/// 40 training and 30 test images; they need no file.
inline Recipe glyph_recipe(std::int64_t epochs, std::int64_t batch_size) {
  Recipe r;
  r.run.seed = 5;
  r.data.name = "glyphs";
  r.data.train_limit = 40;
  r.data.test_limit = 30;
  r.train.epochs = epochs;
  r.train.batch_size = batch_size;
  r.train.learning_rate = 0.01;
  r.train.threads = 2;
  return r;
}

inline Graph small_network(int classes = 10, Shape input = {3, 32, 32}) {
  Graph g("small");
  int x = g.add_input("image", input);
  for (int i = 0; i < 3; ++i) {
    const std::string name = fmt::format("blocks.{}.", i);
    x = g.add(name + "conv", Conv2d{.out_channels = 16 << i, .kernel = 3, .stride = 2, .padding = 1, .bias = false}, {x});
    x = g.add(name + "norm", BatchNorm{}, {x});
    x = g.add(name + "act", Activation{Function::relu6}, {x});
  }
  x = g.add("flatten", Flatten{}, {x});
  g.add_output("scores", g.add("classifier", Linear{.out_features = classes}, {x}));
  return g;
}

}  // namespace micromind::testing
