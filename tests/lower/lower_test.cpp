#include "micromind/lower/lower.h"

#include <gtest/gtest.h>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::vector<std::string> names(const Graph& g) {
  std::vector<std::string> list;
  for (const Node& n : g.nodes()) list.push_back(n.name);
  return list;
}
template <class T>
const T& op_of(const Graph& g, const std::string& name) {
  return std::get<T>(g.nodes().at(static_cast<std::size_t>(g.find_node(name))).op);
}

TEST(Lower, FoldsNormFusesReluAndPaddingAndDropsDropout) {
  Graph g("block");
  int x = g.add_input("image", {3, 8, 8});
  x = g.add("pad", Pad{{0, 1, 0, 1}}, {x});
  x = g.add("conv", Conv2d{.out_channels = 8, .kernel = 3, .stride = 2, .bias = false}, {x});
  x = g.add("norm", BatchNorm{}, {x});
  x = g.add("act", Activation{Function::relu6}, {x});
  const int act = x;
  x = g.add("drop", Dropout{.p = 0.1f}, {x});
  x = g.add("swish", Activation{Function::hard_swish}, {x});
  g.add_output("out", x);
  const Lowered l = lower(g);
  EXPECT_EQ(names(l.graph), (std::vector<std::string>{"conv", "swish"}));
  const Conv2d& conv = op_of<Conv2d>(l.graph, "conv");
  EXPECT_EQ(conv.padding, Padding(0, 1, 0, 1));
  EXPECT_EQ(conv.activation, Function::relu6);
  EXPECT_TRUE(conv.bias);
  EXPECT_EQ(l.origin[0].parameters, g.find_node("conv"));
  EXPECT_EQ(l.origin[0].batch_norm, g.find_node("norm"));
  EXPECT_EQ(l.source_value[static_cast<std::size_t>(l.graph.nodes()[0].outputs[0])], act);
  EXPECT_EQ(l.graph.type(0).element, ElementType::int8);
}

TEST(Lower, KeepsWhatOthersStillRead) {
  Graph g("shared");
  const int x = g.add_input("image", {4, 8, 8});
  const int c = g.add("conv", Conv2d{.out_channels = 4}, {x});
  const int n = g.add("norm", BatchNorm{}, {c});
  g.add_output("raw", c);  // the convolution's own output leaves the graph: the norm cannot fold
  g.add_output("norm", n);
  const Lowered l = lower(g);
  EXPECT_EQ(names(l.graph), (std::vector<std::string>{"conv", "norm"}));
  const Conv2d& norm = op_of<Conv2d>(l.graph, "norm");
  EXPECT_EQ(norm.groups, 4);
  EXPECT_EQ(norm.kernel, Size(1));
  EXPECT_EQ(l.origin[1].parameters, -1);
  EXPECT_EQ(kernel_of(l.graph, l.graph.nodes()[1]), "depthwise_conv2d_s8");
}

TEST(Lower, ReluReadTwiceIsNotFused) {
  Graph g("twice");
  const int x = g.add_input("image", {4, 4, 4});
  const int c = g.add("conv", Conv2d{.out_channels = 4}, {x});
  const int r = g.add("relu", Activation{Function::relu}, {c});
  g.add_output("out", g.add("add", Add{}, {r, c}));
  EXPECT_EQ(names(lower(g).graph), (std::vector<std::string>{"conv", "relu", "add"}));
}

TEST(Lower, FlattenedImagesPermuteTheLinearLayer) {
  Graph g("flat");
  int x = g.add_input("image", {4, 3, 2});
  x = g.add("flatten", Flatten{}, {x});
  x = g.add("drop", Dropout{}, {x});
  g.add_output("out", g.add("linear", Linear{.out_features = 2}, {x}));
  const Lowered l = lower(g);
  EXPECT_EQ(l.origin[1].flattened, Shape({4, 3, 2}));
  EXPECT_EQ(kernel_of(l.graph, l.graph.nodes()[0]), "");
}

TEST(Lower, AdaptivePoolingFindsItsPlainForm) {
  Graph g("pool");
  const int x = g.add_input("image", {4, 12, 12});
  g.add_output("half", g.add("half", AdaptiveAvgPool2d{.output = 6}, {x}));
  g.add_output("odd", g.add("odd", AdaptiveAvgPool2d{.output = 5}, {x}));
  g.add_output("one", g.add("one", AdaptiveAvgPool2d{}, {x}));
  const int same = g.add("same", AdaptiveAvgPool2d{.output = 12}, {x});
  g.add_output("twelve", g.add("up", Upsample{}, {same}));
  const Graph l = lower(g).graph;
  EXPECT_EQ(op_of<AvgPool2d>(l, "half").kernel, Size(2));
  const auto kernel = [&](const char* name) { return kernel_of(l, l.nodes()[static_cast<std::size_t>(l.find_node(name))]); };
  EXPECT_EQ(kernel("odd"), "adaptive_average_pool2d_s8");
  EXPECT_EQ(kernel("one"), "mean_s8");
  EXPECT_EQ(l.find_node("same"), -1);
}

TEST(Lower, ConcatOfASigmoidGetsARequantize) {
  Graph g("gate");
  const int x = g.add_input("image", {4, 4, 4});
  const int s = g.add("gate", Activation{Function::sigmoid}, {x});
  const int c = g.add("concat", Concat{}, {x, s});
  g.add_output("out", c);
  g.add_output("gate", s);
  const Lowered l = lower(g);
  EXPECT_EQ(names(l.graph), (std::vector<std::string>{"gate", "concat.requantize1", "concat"}));
  EXPECT_EQ(l.graph.value_name(l.graph.outputs()[1].value), "gate");
}

TEST(Lower, KeepsEntryPointsStatesAndMutableParameters) {
  Graph g("latent");
  const int x = g.add_input("image", {4, 4, 4}), m = g.add_input("memory", {4, 4, 4});
  const int c = g.add("conv", Conv2d{.out_channels = 4}, {x});
  const int s = g.add("sum", Add{}, {c, m});
  g.add_output("out", s);
  g.add_entry_point({"head", {c}, {s}});
  g.add_state({"memory", m, s});
  g.add_mutable_parameter("conv.weight");
  const Graph l = lower(g).graph;
  ASSERT_EQ(l.entry_points().size(), 1u);
  EXPECT_EQ(l.value_name(l.entry_points()[0].inputs[0]), "conv");
  EXPECT_EQ(l.value_name(l.states().at(0).output), "sum");
  EXPECT_EQ(l.mutable_parameters().at(0), "conv.weight");
}

// A graph that lowering would change again: another program's int8 model may hold what ours would fuse.
TEST(Lower, AnInt8GraphStandsForItself) {
  Graph g("int8");
  int x = g.add_input("image", {4, 12, 12});
  x = g.add("pad", Pad{{1, 1, 1, 1}}, {x});
  x = g.add("conv", Conv2d{.out_channels = 8, .kernel = 3}, {x});
  x = g.add("relu", Activation{Function::relu}, {x});
  x = g.add("pool", AdaptiveAvgPool2d{.output = 6}, {x});
  g.add_output("out", g.add("linear", Linear{.out_features = 2}, {g.add("flatten", Flatten{}, {x})}));
  ASSERT_NE(names(lower(g).graph), names(g));
  const Lowered l = as_lowered(g);
  EXPECT_EQ(names(l.graph), names(g));
  ASSERT_EQ(l.source_value.size(), g.values().size());
  for (std::size_t i = 0; i < l.source_value.size(); ++i) EXPECT_EQ(l.source_value[i], static_cast<int>(i));
  ASSERT_EQ(l.origin.size(), g.nodes().size());
  for (std::size_t i = 0; i < l.origin.size(); ++i) {
    const bool weighted = g.nodes()[i].name == "conv" || g.nodes()[i].name == "linear";
    EXPECT_EQ(l.origin[i].parameters, weighted ? static_cast<int>(i) : -1) << g.nodes()[i].name;
    EXPECT_EQ(l.origin[i].batch_norm, -1);
  }
}

TEST(Lower, RefusesANormOfAVectorThatFollowsNothing) {
  Graph g("vector");
  const int x = g.add_input("x", {4});
  g.add_output("out", g.add("norm", BatchNorm{}, {x}));
  EXPECT_THROW(lower(g), Error);
}

}  // namespace
}  // namespace micromind
