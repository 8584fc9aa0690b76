#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "micromind/base/error.h"
#include "micromind/cost/count.h"
#include "micromind/networks/blocks.h"
#include "micromind/networks/mlperf_tiny.h"
#include "micromind/networks/mobilenet.h"
#include "micromind/networks/phinet.h"
#include "micromind/networks/registry.h"
#include "micromind/networks/xinet.h"
#include "error_of.h"

namespace micromind {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(PhiNet, HasThePublishedCounts) {  // docstring of the Python package
  const Graph g = phinet({.input = {3, 224, 224}});
  EXPECT_EQ(count_parameters(g), 30917);
  EXPECT_EQ(torchinfo_mult_adds(g), 9817670);
  EXPECT_EQ(count_macs(g), 9815790);
  EXPECT_EQ(g.shape(g.outputs()[0].value), Shape({38, 7, 7}));
  EXPECT_EQ(g.outputs()[0].name, "features");
}

TEST(PhiNet, HasTheRecountedFiguresOfOtherConfigurations) {
  struct Case {
    PhiNetOptions options;
    std::int64_t mult_adds, parameters;
  };
  const std::vector<int> three = {4, 5, 7};
  const std::vector<Case> cases = {
      {{.alpha = 0.8, .beta = 0.75, .t_zero = 8, .include_top = true, .downsampling_layers = three, .divisor = 8}, 195828850, 1670941},
      {{.alpha = 0.9, .beta = 0.5, .t_zero = 4, .include_top = true, .downsampling_layers = three, .divisor = 8}, 100254474, 555717},
      {{.num_layers = 9, .alpha = 0.9, .beta = 0.5, .t_zero = 4, .include_top = true, .downsampling_layers = three, .divisor = 8}, 123304306, 2060557},
      {{.alpha = 1.2, .beta = 0.5, .include_top = true, .num_classes = 1000, .downsampling_layers = three, .divisor = 8}, 249304224, 2074035},
      {{.alpha = 1.3, .beta = 0.5, .t_zero = 7, .include_top = true, .num_classes = 1000, .downsampling_layers = three, .divisor = 8}, 307411688, 2775083},
      {{.alpha = 2.3, .beta = 0.75, .t_zero = 5, .include_top = true, .num_classes = 1000, .divisor = 8}, 793549264, 2527219},
      {{.input = {3, 160, 160}, .alpha = 3, .beta = 0.75, .include_top = true}, 776456494, 4394545},
      {{.input = {3, 160, 160}, .alpha = 0.35, .include_top = true}, 14143634, 88901},
      {{.input = {3, 32, 32}, .alpha = 3, .t_zero = 5, .include_top = true, .num_classes = 100, .divisor = 8}, 31426516, 4783591},
      {{.input = {3, 640, 640}, .alpha = 2.3, .beta = 0.75, .t_zero = 5, .divisor = 8}, 6469101184, 2086219},
      {{.input = {1, 640, 64}, .alpha = 1.5, .beta = 0.75, .compatibility = true}, 319833664, 694771},
      {{.input = {3, 128, 128}, .num_layers = 8, .alpha = 1.1, .beta = 0.75, .t_zero = 5, .include_top = true, .num_classes = 1000, .h_swish = false, .divisor = 8}, 64180056, 1248675},
  };
  for (const Case& c : cases) {
    const Graph g = phinet(c.options);
    EXPECT_EQ(torchinfo_mult_adds(g), c.mult_adds);
    EXPECT_EQ(count_parameters(g), c.parameters);
  }
}

TEST(PhiNet, NamesAreStable) {
  const Graph g = phinet({.input = {3, 64, 64}, .include_top = true});
  for (const char* name : {"stem.pad", "stem.depthwise", "stem.pointwise", "stem.norm", "stem.act", "blocks.0.depthwise.conv", "blocks.3.expand.conv",
                           "blocks.3.expand.norm", "blocks.3.depthwise.conv", "blocks.3.squeeze.reduce", "blocks.3.project.conv", "blocks.2.add", "classifier"})
    EXPECT_GE(g.find_node(name), 0) << name;
  EXPECT_EQ(g.inputs()[0].name, "image");
  EXPECT_EQ(g.outputs()[0].name, "logits");
}

TEST(PhiNet, ReturnsLayersInAscendingOrder) {
  const Graph g = phinet({.input = {3, 64, 64}, .alpha = 0.5, .beta = 0.75, .t_zero = 5, .divisor = 8, .return_layers = {8, 6}});
  ASSERT_EQ(g.outputs().size(), 3u);
  EXPECT_EQ(g.outputs()[1].name, "layer6");
  EXPECT_EQ(g.outputs()[2].name, "layer8");
  EXPECT_EQ(g.shape(g.outputs()[1].value), Shape({24, 8, 8}));
  EXPECT_EQ(g.shape(g.outputs()[2].value), Shape({48, 4, 4}));
  EXPECT_THAT(error_of([] { phinet({.return_layers = {10}}); }), HasSubstr("layers 0 to 9"));
}

TEST(PhiNet, PadsTheStemByParity) {
  const auto padding = [](const Graph& g) { return std::get<Pad>(g.nodes()[0].op).padding; };
  EXPECT_EQ(padding(phinet({.input = {3, 64, 64}})), Padding(0, 1, 0, 1));
  EXPECT_EQ(padding(phinet({.input = {3, 63, 63}})), Padding(1));
  EXPECT_EQ(padding(phinet({.input = {3, 63, 64}})), Padding(0, 1, 0, 1));  // by the longer side
}

TEST(PhiNet, PlainStemAndFewLayersBuild) {
  const Graph g = phinet({.input = {3, 32, 32}, .num_layers = 1, .alpha = 1, .conv2d_input = true, .divisor = 8});
  EXPECT_GE(g.find_node("blocks.3.project.norm"), 0);
  EXPECT_EQ(g.find_node("blocks.4.project.norm"), -1);
  EXPECT_EQ(g.nodes()[0].name, "stem.conv");
}

TEST(PhiNet, RejectsWhatCannotBeBuilt) {
  EXPECT_THAT(error_of([] { phinet({.alpha = 0}); }), HasSubstr("[phinet] alpha"));
  EXPECT_THAT(error_of([] { phinet({.alpha = std::nan("")}); }), HasSubstr("alpha"));
  EXPECT_THAT(error_of([] { phinet({.num_layers = 0}); }), HasSubstr("num_layers"));
  EXPECT_THAT(error_of([] { phinet({.input = {3, 224}}); }), HasSubstr("(C, H, W)"));
  EXPECT_THAT(error_of([] { phinet({.input = {3, 0, 224}}); }), HasSubstr("input_shape"));
  EXPECT_THAT(error_of([] { phinet({.input = {3, 2, 2}, .pool = true}); }), AllOf(HasSubstr("[phinet]"), HasSubstr("larger input")));
  EXPECT_THAT(error_of([] { phinet({.divisor = 0}); }), HasSubstr("divisor"));
}

TEST(PhiNet, IsBuiltInMicroseconds) {
  const PhiNetOptions options;
  const auto start = std::chrono::steady_clock::now();
  std::size_t nodes = 0;
  for (int i = 0; i < 2000; ++i) nodes += phinet(options).nodes().size();
  const double us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / 2000;
  RecordProperty("microseconds", std::to_string(us));
  std::printf("phinet: %.1f us, %zu nodes\n", us, nodes / 2000);
  EXPECT_LT(us, 1000);  // a slow or busy machine; about 30 here
}

TEST(XiNet, HasTheRecountedFigures) {
  const Graph g = xinet({.input = {3, 224, 224}});
  EXPECT_EQ(count_parameters(g), 489808);
  EXPECT_EQ(count_macs(g), 171403168 - 1952);  // the published count holds each batch norm's parameters once
  EXPECT_EQ(torchinfo_mult_adds(g), 171403168);
  EXPECT_EQ(count_parameters(xinet({.include_top = true})), 746808);
  EXPECT_EQ(count_parameters(xinet({.input = {3, 128, 128}, .num_layers = 7, .num_classes = 100, .include_top = true})), 7831988);
}

TEST(XiNet, PaperWidthsFollowBeta) {
  const auto out = [](const XiNetOptions& o) {
    const Graph g = xinet(o);
    std::vector<int> widths;
    for (const Node& node : g.nodes())
      if (node.name == "stem.conv" || (node.name.starts_with("layers.") && node.name.ends_with(".norm"))) widths.push_back(g.shape(node.outputs[0]).channels());
    return widths;
  };
  using testing::ElementsAre;
  // By hand, N = 6: 4·⌈α·2^(D−2)·(1 + (β − 1)·i/6)·16⌉ with D = 1, 2, 2, 3, 3 and i = 2 … 6.
  EXPECT_THAT(out({.num_layers = 4, .paper_widths = true}), ElementsAre(16, 32, 32, 64, 64, 128, 128));
  EXPECT_THAT(out({.num_layers = 4, .paper_widths = true, .beta = 0.5}),
              ElementsAre(16, 32, 28 /* 4·⌈8·5/6⌉ */, 48 /* 4·⌈16·3/4⌉ */, 44 /* 4·⌈16·2/3⌉ */, 76 /* 4·⌈32·7/12⌉ */, 64));
  EXPECT_THAT(out({.alpha = 0.3, .num_layers = 4, .paper_widths = true, .beta = 2}),
              ElementsAre(4, 9 /* ⌊32·0.3⌋, by alpha alone */, 16 /* 4·⌈2.4·4/3⌉ = 4·⌈3.2⌉ */, 32 /* 4·⌈7.2⌉ */, 32 /* 4·⌈8⌉ */,
                          72 /* 4·⌈17.6⌉ */, 80 /* 4·⌈19.2⌉ */));
  EXPECT_THAT(out({.alpha = 0.4, .num_layers = 4}), ElementsAre(6, 12, 12, 25, 25, 51, 51));                         // the package's
  EXPECT_THAT(out({.alpha = 0.4, .num_layers = 4, .paper_widths = true}), ElementsAre(6, 12, 16, 28, 28, 52, 52));  // up to fours
}

TEST(XiNet, BetaNeedsThePapersWidths) {
  EXPECT_THAT(error_of([] { xinet({.beta = 0.5}); }), AllOf(HasSubstr("[xinet] beta = 0.5"), HasSubstr("paper_widths = true")));
  EXPECT_THAT(error_of([] { xinet({.paper_widths = true, .beta = 0}); }), AllOf(HasSubstr("layers.7"), HasSubstr("no channel")));
  EXPECT_THAT(error_of([] { xinet({.paper_widths = true, .beta = -1}); }), HasSubstr("beta"));
}

TEST(XiNet, ExtentsThatAreNoMultipleBuild) { EXPECT_NO_THROW(xinet({.input = {3, 100, 75}})); }

TEST(XiNet, RejectsWhatCannotBeBuilt) {
  EXPECT_THAT(error_of([] { xinet({.input = {3, 4, 4}}); }), AllOf(HasSubstr("[xinet]"), HasSubstr("larger input")));
  EXPECT_THAT(error_of([] { xinet({.alpha = 0.01}); }), HasSubstr("[xinet]"));
  EXPECT_THAT(error_of([] { xinet({.alpha = 0.2, .gamma = 8}); }), HasSubstr("gamma"));
  EXPECT_THAT(error_of([] { xinet({.gamma = 0.5}); }), HasSubstr("gamma"));
  EXPECT_THAT(error_of([] { xinet({.base_filters = 24}); }), HasSubstr("base_filters"));
  EXPECT_THAT(error_of([] { xinet({.num_layers = 2}); }), HasSubstr("num_layers"));
}

TEST(MlperfTiny, NetworksHaveTheBenchmarksMacs) {
  EXPECT_EQ(count_macs(resnet8()), 12501632);
  EXPECT_EQ(count_macs(ds_cnn()), 2656768);
  EXPECT_EQ(count_macs(mobilenet_v1()), 7489664);
  EXPECT_EQ(count_macs(autoencoder()), 264192);
}

TEST(MlperfTiny, ResNet8DiffersFromKerasByBiasesAndStatistics) {
  EXPECT_EQ(count_parameters(resnet8()) + 240 + 480, 78666);  // Keras' summary
}

TEST(MobileNetV2, HasThePublishedCounts) {  // torchvision's mobilenet_v2: 3,504,872 parameters, 0.30 GMAC
  EXPECT_EQ(count_parameters(mobilenet_v2()), 3504872);
  EXPECT_EQ(count_macs(mobilenet_v2()), 300774272);
  EXPECT_EQ(count_parameters(mobilenet_v2({.alpha = 0.5})), 1968680);  // torchvision with width_mult = 0.5
}

TEST(Blocks, RoundAsTheirSourcesDo) {
  EXPECT_EQ(make_divisible(0, 1), 1);
  EXPECT_EQ(make_divisible(9, 8), 16);    // 8 would lose more than a tenth
  EXPECT_EQ(make_divisible(11, 8), 16);
  EXPECT_EQ(make_divisible(20, 8), 24);
  EXPECT_EQ(make_divisible(8.5, 8), 8);
  EXPECT_EQ(same_padding(Shape({1, 49, 10}), {10, 4}, 2), Padding(4, 5, 1, 1));
  EXPECT_EQ(same_padding(Shape({3, 32, 32}), 3, 2), Padding(0, 1, 0, 1));
  EXPECT_EQ(same_padding(Shape({3, 31, 31}), 3, 2), Padding(1));
  EXPECT_EQ(same_padding(Shape({3, 32, 32}), 1, 2), Padding(0));
}

TEST(Blocks, XiConvOptions) {
  const auto make = [](const XiConvOptions& o, bool with_skip = false) {
    Graph g;
    const int image = g.add_input("image", {8, 16, 16});
    XiConvOptions options = o;
    if (with_skip) options.skip = g.add_input("skip", {4, 32, 32});
    g.add_output("y", xi_conv(g, "x", image, options));
    return g;
  };
  const Graph plain = make({.out_channels = 16, .gamma = 1, .attention = false, .batch_norm = false});
  EXPECT_EQ(plain.nodes().size(), 2u);
  const Graph full = make({.out_channels = 16, .kernel = 5, .stride = 2, .attention_lite = false, .pool = 2, .dropout = 0.1, .skip_kernel = 3}, true);
  EXPECT_EQ(full.shape(full.outputs()[0].value), Shape({16, 4, 4}));
  EXPECT_EQ(full.find_node("x.attention.reduce"), -1);
  for (const char* name : {"x.compress", "x.skip.pool", "x.skip.conv", "x.skip.add", "x.pool", "x.dropout"}) EXPECT_GE(full.find_node(name), 0) << name;
  EXPECT_EQ(make({.out_channels = 16, .groups = 2, .gamma = 2}).shape(0), Shape({8, 16, 16}));
}

TEST(Registry, BuildsEveryFamilyFromItsDefaults) {
  EXPECT_GE(network_families().size(), 7u);
  for (const NetworkFamily& family : network_families()) {
    const Graph a = build_network(family.name), b = build_network(family.name, family.defaults);
    EXPECT_EQ(to_json(a), to_json(b)) << family.name;
    EXPECT_EQ(to_json(graph_from_json(to_json(a))), to_json(a)) << family.name;
    EXPECT_EQ(reference_names(family.name).size(), parameters(a).size());
    EXPECT_FALSE(family.description.empty());
  }
}

TEST(Registry, ErrorsNameTheNearest) {
  EXPECT_THAT(error_of([] { build_network("phinets"); }), HasSubstr("'phinet'"));
  EXPECT_THAT(error_of([] { build_network("phinet", {{"alfa", 1}}); }), HasSubstr("'alpha'"));
  EXPECT_THAT(error_of([] { build_network("phinet", {{"alpha", "wide"}}); }), HasSubstr("a number"));
  EXPECT_THAT(error_of([] { build_network("phinet", {{"input_shape", 3}}); }), HasSubstr("[3, 32, 32]"));
  EXPECT_THAT(error_of([] { build_network("phinet", {{"input_shape", {3, 1, 1, 1, 1}}}); }), HasSubstr("shape"));
  EXPECT_THAT(error_of([] { build_network("phinet", json::array()); }), HasSubstr("table"));
}

TEST(Registry, ReferenceNamesFollowTheOriginal) {
  const auto names = reference_names("phinet", {{"include_top", true}});
  EXPECT_EQ(names.at("stem.depthwise.weight"), "_layers.1._layers.0.weight");
  EXPECT_EQ(names.at("blocks.0.project.conv.weight"), "_layers.2._layers.4.weight");
  EXPECT_EQ(names.at("blocks.3.squeeze.expand.weight"), "_layers.5._layers.7.se_conv2.weight");
  EXPECT_EQ(names.at("classifier.bias"), "classifier.2.bias");
  const auto pooled = reference_names("phinet", {{"pool", true}});
  EXPECT_EQ(pooled.at("blocks.2.expand.conv.weight"), "_layers.5._layers.0.weight");
  EXPECT_EQ(reference_names("xinet").at("stem.norm.running_var"), "conv1.1.running_var");
}

}  // namespace
}  // namespace micromind
