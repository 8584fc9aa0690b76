// Teaches: what a network of your own costs on a chip before a weight is trained. Build it from blocks, read the
// table, ask whether it fits, and turn a knob until it does.
//
//   build/example_cost_a_network
#include <cstdio>

#include "micromind/base/error.h"
#include "micromind/cost/cost.h"
#include "micromind/networks/blocks.h"

using namespace micromind;

// A network is a function that returns a graph. Blocks add nodes below a name and return the value that they make;
// g.add() adds a single operator where no block exists.
Graph my_network(int width) {
  Graph g("my-network");
  int x = g.add_input("image", {3, 96, 96});  // channels, height, width
  x = conv_bn_act(g, "stem", x, {.out_channels = width, .kernel = 3, .stride = 2, .padding = 1});
  for (int i = 0; i < 3; ++i)
    x = inverted_residual(g, "stages." + std::to_string(i), x, {.out_channels = width << i, .stride = 2});
  const int gate = g.add("gate", Activation{Function::sigmoid}, {x});  // an idea of one's own: gate the features
  x = g.add("gated", Multiply{}, {x, gate});
  x = xi_conv(g, "top", x, {.out_channels = 4 * width});
  g.add_output("logits", classifier(g, x, 10));
  return g;
}

int main() try {
  const Target board = load_target("stm32h743");  // or the path of a TOML of your own
  for (const int width : {512, 64, 16}) {
    const Graph network = my_network(width);
    const Lowered lowered = lower(network);  // batch norms fold, activations fuse: what the chip will run
    const Cost cost = estimate_cost(network, lowered);
    const Fit fit = check_fit(cost, lowered, board);
    std::printf("width %d: %lld parameters, %lld MACs\n  %s\n", width, static_cast<long long>(cost.parameters),
                static_cast<long long>(cost.macs), fit.text.c_str());
    if (!fit.fits()) continue;
    std::printf("\n%s\n", cost_table(cost, lowered).c_str());
    return 0;
  }
  std::puts("nothing fits");
  return 1;
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
