// A network runs in libtorch, and a data set opens: both further libraries link and work.
#include "micromind/data/dataset.h"
#include "micromind/networks/phinet.h"
#include "micromind/train/graph_module.h"

#include <cstdio>

int main() {
  using namespace micromind;
  const auto glyphs = open_dataset({.name = "glyphs", .limit = 10});
  const Image image = glyphs->get(0).image;
  GraphModule module(phinet({.input = {image.channels, image.height, image.width}, .include_top = true}), {.seed = 1});
  module.eval();
  const std::vector<float> pixels(image.pixels.begin(), image.pixels.end());
  std::printf("scores %zu\n", module.run(pixels, 1).size());
}
