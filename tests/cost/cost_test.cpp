#include "micromind/cost/cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/cost/count.h"

namespace micromind {
namespace {

using testing::HasSubstr;

Graph small() {
  Graph g("small");
  int x = g.add_input("image", {3, 32, 32});
  x = g.add("conv", Conv2d{.out_channels = 16, .kernel = 3, .padding = 1, .bias = false}, {x});
  x = g.add("norm", BatchNorm{}, {x});
  x = g.add("relu", Activation{Function::relu}, {x});
  x = g.add("depthwise", Conv2d{.out_channels = 16, .kernel = 3, .stride = 2, .padding = 1, .groups = 16}, {x});
  x = g.add("swish", Activation{Function::hard_swish}, {x});
  x = g.add("pool", AdaptiveAvgPool2d{}, {x});
  x = g.add("flatten", Flatten{}, {x});
  x = g.add("linear", Linear{.out_features = 10}, {x});
  g.add_output("logits", x);
  return g;
}

TEST(Count, FollowsPyTorchAndTorchinfo) {
  const Graph g = small();
  EXPECT_EQ(count_parameters(g), 3 * 9 * 16 + 32 + (16 * 9 + 16) + 170);
  EXPECT_EQ(count_macs(g), 432 * 1024 + 144 * 256 + 160);
  EXPECT_EQ(torchinfo_mult_adds(g), 432 * 1024 + 32 + 160 * 256 + 170);
  std::int64_t listed = 0;
  for (const NamedParameter& p : parameters(g))
    if (p.trainable) listed += p.shape.elements();
  EXPECT_EQ(listed, count_parameters(g));
  std::int64_t macs_by_op = 0;
  for (const Node& n : g.nodes()) macs_by_op += macs(n.op, g.input_shapes(n), g.output_shapes(n));
  EXPECT_EQ(macs_by_op, count_macs(g));
}

TEST(Cost, TotalsAreTheSumOfTheLayersAndTheBottlenecksAreNamed) {
  const Graph g = small();
  const Lowered l = lower(g);
  const Cost c = estimate_cost(g, l);
  std::int64_t parameters = 0, macs = 0, flash = 0;
  for (const LayerCost& layer : c.layers) {
    parameters += layer.parameters;
    macs += layer.macs;
    flash += layer.flash_bytes;
  }
  EXPECT_EQ(parameters, c.parameters);
  EXPECT_EQ(macs, c.macs);
  EXPECT_EQ(flash, c.constant_bytes);
  EXPECT_EQ(c.flash_bytes, c.constant_bytes + c.code_bytes);
  EXPECT_EQ(c.peak_ram_bytes, 16 * 1024 + 176);  // conv's output, and what of the image it cannot lie over
  EXPECT_EQ(c.peak_ram_bytes, plan_memory(l.graph).arena_bytes);
  EXPECT_EQ(l.graph.nodes()[static_cast<std::size_t>(c.ram_bottleneck)].name, "conv");
  EXPECT_EQ(l.graph.nodes()[static_cast<std::size_t>(c.macs_bottleneck)].name, "conv");
  const nlohmann::json j = to_json(c, l);
  EXPECT_EQ(j["layers"].size(), c.layers.size());
  EXPECT_EQ(j["ram_bottleneck"], "conv");
  EXPECT_THAT(cost_table(c, l), HasSubstr("depthwise_conv2d_s8"));
}

TEST(Cost, FitSaysWhatIsTooMuchAndWhichLayerIsToBlame) {
  const Graph g = small();
  const Lowered l = lower(g);
  const Cost c = estimate_cost(g, l);
  Target board = load_target("stm32h743");
  EXPECT_TRUE(check_fit(c, l, board).fits());
  EXPECT_THAT(check_fit(c, l, board).text, HasSubstr("fits stm32h743"));
  board.ram[0].bytes = 20 * 1024;  // the stack and the arena do not fit together: the arena goes to another bank
  EXPECT_TRUE(check_fit(c, l, board).fits());
  EXPECT_THAT(check_fit(c, l, board).text, HasSubstr(board.ram[1].name));
  board.ram.resize(1);
  EXPECT_TRUE(check_fit(c, l, board).fits());
  EXPECT_THAT(check_fit(c, l, board).text, HasSubstr("strips"));
  board.ram[0].bytes = 8 * 1024;
  EXPECT_FALSE(check_fit(c, l, board).fits());
  EXPECT_THAT(check_fit(c, l, board).text, AllOf(HasSubstr("at conv"), HasSubstr("too much")));
  board = load_target("stm32h743");
  board.flash.bytes = 1024;
  EXPECT_THAT(check_fit(c, l, board).text, HasSubstr("Flash"));
}

TEST(Cost, EveryKernelHasACodeSize) {
  Graph g("all");
  const int x = g.add_input("image", {4, 8, 8});
  EXPECT_THROW(kernel_code_bytes("conv9d_s8"), Error);
  EXPECT_GT(kernel_code_bytes("softmax_s8"), 0);
  g.add_output("out", g.add("softmax", Softmax{}, {x}));
  const Lowered l = lower(g);
  EXPECT_GT(estimate_cost(g, l).code_bytes, kernel_code_bytes("softmax_s8"));
}

}  // namespace
}  // namespace micromind
