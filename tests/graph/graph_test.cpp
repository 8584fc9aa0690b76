#include "micromind/graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "error_of.h"

namespace micromind {
namespace {

using testing::HasSubstr;

Graph every_operator() {
  Graph g("every");
  const int image = g.add_input("image", {3, 17, 16});
  int x = g.add("pad", Pad{{0, 1, 0, 1}}, {image});
  x = g.add("conv", Conv2d{.out_channels = 8, .kernel = {3, 5}, .stride = 2, .padding = {1, 1, 2, 2}, .bias = false}, {x});
  x = g.add("norm", BatchNorm{.eps = 1e-3f, .momentum = 0.999f}, {x});
  x = g.add("act", Activation{Function::hard_swish}, {x});
  x = g.add("drop", Dropout{.p = 0.05f, .channels = true}, {x});
  const int skip = x;
  int s = g.add("se.pool", AdaptiveAvgPool2d{}, {x});
  s = g.add("se.conv", Conv2d{.out_channels = 8}, {s});
  s = g.add("se.gate", Activation{Function::sigmoid}, {s});
  x = g.add("se.scale", Multiply{}, {x, s});
  x = g.add("residual", Add{}, {x, skip});
  const int half = g.add("split", Split{.axis = 0, .sizes = {3, 5}}, {x});
  x = g.add("concat", Concat{}, {half + 1, half});
  const int up = g.add("up", Upsample{}, {x});
  x = g.add("max", MaxPool2d{}, {up});
  x = g.add("avg", AvgPool2d{.kernel = 3, .stride = 1, .padding = 1}, {x});
  x = g.add("requantize", Requantize{}, {x});
  const int above = g.add("above", Upsample{1}, {g.add("rows", TakeRows{.first = 0, .count = 4}, {x})});
  x = g.add("joined", JoinRows{}, {above, g.add("below", Upsample{1}, {g.add("more rows", TakeRows{.first = 4, .count = 5}, {x})})});
  x = g.add("flatten", Flatten{}, {x});
  x = g.add("classifier", Linear{.out_features = 10}, {x});
  x = g.add("softmax", Softmax{}, {x});
  g.add_output("probabilities", x);
  g.add_output("features", up);
  g.add_entry_point({"head", {skip}, {x}});
  g.add_state({"memory", image, image});
  g.add_mutable_parameter("classifier.weight");
  return g;
}

TEST(Graph, InfersShapes) {
  const Graph g = every_operator();
  const auto shape = [&](const char* node) { return g.shape(g.nodes()[static_cast<std::size_t>(g.find_node(node))].outputs[0]); };
  EXPECT_EQ(shape("pad"), Shape({3, 18, 17}));
  EXPECT_EQ(shape("conv"), Shape({8, 9, 9}));
  EXPECT_EQ(shape("se.pool"), Shape({8, 1, 1}));
  EXPECT_EQ(shape("se.scale"), Shape({8, 9, 9}));
  EXPECT_EQ(shape("split"), Shape({3, 9, 9}));
  EXPECT_EQ(shape("concat"), Shape({8, 9, 9}));
  EXPECT_EQ(shape("up"), Shape({8, 18, 18}));
  EXPECT_EQ(shape("max"), Shape({8, 9, 9}));
  EXPECT_EQ(shape("classifier"), Shape({10}));
  EXPECT_EQ(g.value_name(g.nodes()[static_cast<std::size_t>(g.find_node("split"))].outputs[1]), "split:1");
}

TEST(Graph, EveryOperatorSurvivesJson) {
  const Graph g = every_operator();
  for (const std::string& name : op_names())
    EXPECT_TRUE(std::any_of(g.nodes().begin(), g.nodes().end(), [&](const Node& n) { return op_name(n.op) == name; })) << name;
  TemporaryFolder folder;
  const std::string path = folder.path() / "network.json";
  save_graph(g, path);
  const Graph back = load_graph(path);
  EXPECT_EQ(to_json(back), to_json(g));
  ASSERT_EQ(back.nodes().size(), g.nodes().size());
  for (std::size_t i = 0; i < g.nodes().size(); ++i) EXPECT_EQ(back.nodes()[i].op, g.nodes()[i].op) << g.nodes()[i].name;
}

TEST(Graph, WrongShapesNameTheNode) {
  Graph g;
  const int x = g.add_input("image", {3, 8, 8});
  EXPECT_THAT(error_of([&] { g.add("head.linear", Linear{.out_features = 2}, {x}); }), HasSubstr("head.linear"));
  EXPECT_THAT(error_of([&] { g.add("big", Conv2d{.out_channels = 4, .kernel = 11}, {x}); }), HasSubstr("big"));
  EXPECT_THAT(error_of([&] { g.add("grouped", Conv2d{.out_channels = 4, .groups = 2}, {x}); }), HasSubstr("grouped"));
  const int y = g.add("small", MaxPool2d{}, {x});
  EXPECT_THAT(error_of([&] { g.add("sum", Add{}, {x, y}); }), AllOf(HasSubstr("sum"), HasSubstr("3×8×8"), HasSubstr("3×4×4")));
  EXPECT_THAT(error_of([&] { g.add("parts", Split{.axis = 0, .sizes = {1, 1}}, {x}); }), HasSubstr("parts"));
  EXPECT_THAT(error_of([&] { g.add("small", MaxPool2d{}, {x}); }), HasSubstr("used twice"));
  EXPECT_THAT(error_of([&] { g.add("far", MaxPool2d{}, {99}); }), HasSubstr("far"));
  EXPECT_THROW(g.add_input("empty", Shape{3, 0, 3}), Error);
}

TEST(Graph, CountsParametersAndMacs) {
  Graph g;
  const int x = g.add_input("x", {4, 6, 6});
  g.add("conv", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1, .groups = 2}, {x});
  const Node& node = g.nodes()[0];
  EXPECT_EQ(macs(node.op, g.input_shapes(node), g.output_shapes(node)), 8 * 36 * 2 * 9);
  std::int64_t count = 0;
  for (const NamedParameter& p : parameters(g)) count += p.shape.elements();
  EXPECT_EQ(count, 8 * 2 * 9 + 8);
}

TEST(GraphJson, RefusesWhatIsWrongAndSaysWhere) {
  nlohmann::json j = to_json(every_operator());
  const auto broken = [&](auto&& edit) {
    nlohmann::json copy = j;
    edit(copy);
    return error_of([&] { graph_from_json(copy); });
  };
  EXPECT_THAT(broken([](auto& c) { c["nodes"][1]["op"] = "conv2b"; }), HasSubstr("conv2d"));
  EXPECT_THAT(broken([](auto& c) { c["nodes"][1]["attributes"]["strid"] = 2; }), HasSubstr("stride"));
  EXPECT_THAT(broken([](auto& c) { c["nodes"][1]["inputs"][0] = "nowhere"; }), HasSubstr("nowhere"));
  EXPECT_THAT(broken([](auto& c) { c["nodes"][1].erase("inputs"); }), HasSubstr("conv"));
  EXPECT_THAT(broken([](auto& c) { c["version"] = 99; }), HasSubstr("newer"));
  EXPECT_THAT(broken([](auto& c) { c.erase("format"); }), HasSubstr("no graph"));
  EXPECT_THAT(broken([](auto& c) { c["nodes"] = 7; }), HasSubstr("graph"));
  EXPECT_THAT(broken([](auto& c) { c["nodes"][1]["attributes"]["padding"] = {1, 2}; }), HasSubstr("padding"));
  TemporaryFolder folder;
  write_atomic(folder.path() / "garbage.json", std::string_view("{ not json"));
  EXPECT_THAT(error_of([&] { load_graph(folder.path() / "garbage.json"); }), HasSubstr("garbage.json"));
}

}  // namespace
}  // namespace micromind
