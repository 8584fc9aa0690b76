// EfficientNet: published counts, compound scaling, and the whole way to int8 and an emulated core.
#include "micromind/networks/efficientnet.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/base/random.h"
#include "micromind/cost/cost.h"
#include "micromind/cost/count.h"
#include "micromind/deploy/deploy.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/quantize/executor.h"
#include "micromind/quantize/quantize.h"
#include "micromind/reference/reference.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Parameters as torchvision's documentation lists them for efficientnet_b0 … b7; MACs recounted by hand from
// the paper's table (it prints 0.39 G and 0.70 G).
TEST(EfficientNet, HasThePublishedCounts) {
  EXPECT_EQ(count_parameters(efficientnet()), 5'288'548);
  EXPECT_EQ(count_macs(efficientnet()), 385'814'752);
  const EfficientNetOptions b1{.input = {3, 240, 240}, .depth = 1.1};
  EXPECT_EQ(count_parameters(efficientnet(b1)), 7'794'184);
  EXPECT_EQ(count_macs(efficientnet(b1)), 686'802'832);
  EXPECT_EQ(count_parameters(efficientnet({.width = 1.1, .depth = 1.2})), 9'109'994);
  EXPECT_EQ(count_parameters(efficientnet({.width = 1.2, .depth = 1.4})), 12'233'232);
  EXPECT_EQ(count_parameters(efficientnet({.width = 1.4, .depth = 1.8})), 19'341'616);
  EXPECT_EQ(count_parameters(efficientnet({.width = 2, .depth = 3.1})), 66'347'960);
}

TEST(EfficientNet, IsTheTableOfThePaper) {
  const Graph g = efficientnet();
  const auto shape = [&](const std::string& node) {
    return g.shape(g.nodes()[static_cast<std::size_t>(g.find_node(node))].outputs[0]);
  };
  EXPECT_EQ(shape("stem.act"), Shape({32, 112, 112}));
  EXPECT_EQ(shape("blocks.0.project.norm"), Shape({16, 112, 112}));
  EXPECT_EQ(shape("blocks.2.add"), Shape({24, 56, 56}));
  EXPECT_EQ(shape("blocks.4.add"), Shape({40, 28, 28}));
  EXPECT_EQ(shape("blocks.7.add"), Shape({80, 14, 14}));
  EXPECT_EQ(shape("blocks.10.add"), Shape({112, 14, 14}));
  EXPECT_EQ(shape("blocks.14.add"), Shape({192, 7, 7}));
  EXPECT_EQ(shape("blocks.15.project.norm"), Shape({320, 7, 7}));
  EXPECT_EQ(shape("last.act"), Shape({1280, 7, 7}));
  const auto conv = [&](const std::string& node) {
    return std::get<Conv2d>(g.nodes()[static_cast<std::size_t>(g.find_node(node))].op);
  };
  EXPECT_EQ(conv("blocks.3.depthwise.conv").kernel, Size(5));
  EXPECT_EQ(conv("blocks.3.depthwise.conv").padding,
            Padding(1, 2, 1, 2));  // SAME of 5×5, stride 2, 56 pixels
  EXPECT_TRUE(conv("blocks.3.squeeze.reduce").bias);
  EXPECT_FALSE(conv("blocks.3.project.conv").bias);
  EXPECT_EQ(efficientnet({.include_top = false}).outputs()[0].name, "features");
  EXPECT_EQ(efficientnet({.dropout = 0}).find_node("head.dropout"), -1);
}

TEST(EfficientNet, CompoundScalingFollowsTheEquation) {
  const EfficientNetOptions base{.num_classes = 10, .dropout = 0.1};
  const EfficientNetOptions same = compound_scaled(base, 0);
  EXPECT_EQ(to_json(efficientnet(same)), to_json(efficientnet(base)));
  const EfficientNetOptions up = compound_scaled(base, 2);
  EXPECT_DOUBLE_EQ(up.depth, 1.44);
  EXPECT_DOUBLE_EQ(up.width, 1.21);
  EXPECT_EQ(up.input, Shape({3, 296, 296}));  // 224·1.3225 = 296.2
  EXPECT_EQ(up.num_classes, 10);
  EXPECT_EQ(up.dropout, 0.1);
  const EfficientNetOptions down = compound_scaled({.input = {1, 96, 64}, .width = 0.5}, -4);
  EXPECT_DOUBLE_EQ(down.depth, std::pow(1.2, -4));
  EXPECT_DOUBLE_EQ(down.width, 0.5 * std::pow(1.1, -4));
  EXPECT_EQ(down.input, Shape({1, 56, 40}));  // 54.9 and 36.6
  EXPECT_EQ(compound_scaled({.input = {1, 28, 28}}, 0).input, Shape({1, 28, 28}));
  EXPECT_EQ(compound_scaled(base, -40).input, Shape({3, 8, 8}));
  EXPECT_NO_THROW(efficientnet(compound_scaled(base, -40)));
  // Operations double with φ, roughly: rounding of depths and widths is coarse.
  const auto operations = [&](double phi) {
    return static_cast<double>(count_macs(efficientnet(compound_scaled(base, phi))));
  };
  EXPECT_NEAR(std::log2(operations(4) / operations(0)), 4, 0.5);
}

TEST(EfficientNet, RejectsWhatCannotBeBuilt) {
  EXPECT_THAT(error_of([] { efficientnet({.width = 0}); }), HasSubstr("[efficientnet] width"));
  EXPECT_THAT(error_of([] { efficientnet({.depth = -1}); }), HasSubstr("depth"));
  EXPECT_THAT(error_of([] { efficientnet({.depth = std::nan("")}); }), HasSubstr("depth"));
  EXPECT_THAT(error_of([] { efficientnet({.dropout = 1}); }), HasSubstr("dropout"));
  EXPECT_THAT(error_of([] { efficientnet({.input = {3, 32}}); }), HasSubstr("(C, H, W)"));
  EXPECT_THAT(error_of([] { efficientnet({.divisor = 0}); }), HasSubstr("divisor"));
  EXPECT_THAT(error_of([] { compound_scaled({}, std::nan("")); }), HasSubstr("phi"));
  EXPECT_THAT(error_of([] { compound_scaled({}, 41); }), HasSubstr("phi = 41"));
  EXPECT_THAT(error_of([] { compound_scaled({.input = {3}}, 1); }), HasSubstr("input_shape"));
}

const EfficientNetOptions kSmall{.input = {3, 32, 32}, .width = 0.25, .depth = 0.5, .num_classes = 10};

Array random_image(std::uint64_t seed) {
  Array image(ElementType::float32, {3, 32, 32});
  Random random(seed);
  for (float& x : image.values<float>()) x = random.uniform(-1, 1);
  return image;
}

// Batch norm's statistics as training would leave them: those of the images, norm after norm.
void settle_norms(const Graph& g, Weights& weights, const std::vector<Array>& images) {
  for (const Node& node : g.nodes()) {
    if (!std::holds_alternative<BatchNorm>(node.op)) continue;
    const int input = node.inputs[0];
    const auto channels = static_cast<std::size_t>(g.shape(input).channels());
    std::vector<double> sum(channels), squares(channels);
    double count = 0;
    const ReferenceExecutor executor(g, weights);
    for (const Array& image : images)
      executor.run({{"image", image}}, [&](int value, std::span<const float> numbers) {
        if (value != input) return;
        const std::size_t area = numbers.size() / channels;
        count += static_cast<double>(area);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
          sum[i / area] += numbers[i];
          squares[i / area] += std::pow(numbers[i], 2);
        }
      });
    for (std::size_t c = 0; c < channels; ++c) {
      const double mean = sum[c] / count;
      weights.at(node.name + ".running_mean").values<float>()[c] = static_cast<float>(mean);
      weights.at(node.name + ".running_var").values<float>()[c] =
          static_cast<float>(squares[c] / count - mean * mean);
    }
  }
}

// Block after block, on a network that only lacks training: rounding adds up slowly, anything wrong shows at
// once.
TEST(EfficientNet, Int8FollowsTheFloats) {
  const Graph g = efficientnet({.input = {3, 32, 32}, .width = 0.5, .depth = 0.2, .num_classes = 10});
  const Lowered lowered = lower(g);
  EXPECT_GT(estimate_cost(g, lowered).peak_ram_bytes, 32 * 32 * 3);
  const std::vector<Array> images = {random_image(1), random_image(2), random_image(3), random_image(4)};
  Weights weights = initial_weights(g, 3);
  settle_norms(g, weights, images);
  const ReferenceExecutor executor(g, weights);
  Calibrator calibrator(g.values().size());
  for (const Array& image : images) executor.run({{"image", image}}, calibrator.observer());
  const Model model = quantize(g, lowered, weights, calibrator.ranges({.method = CalibrationMethod::minmax}));

  std::map<std::string, std::vector<float>> floats, ints;
  executor.run({{"image", images[0]}}, [&](int value, std::span<const float> x) {
    floats[g.value_name(value)].assign(x.begin(), x.end());
  });
  Int8Executor int8(model);
  int8.set_input(0, images[0].values<float>());
  int8.run([&](int value, std::span<const std::int8_t> x) {
    ints[model.graph.value_name(value)] = dequantize_image(x, model.graph.type(value));
  });
  const auto error = [&](const std::string& in_floats, const std::string& in_ints) {
    const std::vector<float>&expected = floats.at(in_floats), &got = ints.at(in_ints);
    double wrong = 0, all = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      wrong += std::pow(got.at(i) - expected[i], 2);
      all += std::pow(expected[i], 2);
    }
    return std::sqrt(wrong / all);
  };
  EXPECT_LT(error("stem.act", "stem.act"), 0.05);
  for (int i = 0; i < 4; ++i) {
    const std::string block = "blocks." + std::to_string(i);
    EXPECT_LT(error(block + ".squeeze.gate", block + ".squeeze.gate"), 0.02) << block;
    EXPECT_LT(error(block + ".project.norm", block + ".project.conv"), 0.07 + 0.05 * i) << block;
  }
  EXPECT_EQ(ints.at("classifier").size(), 10u);
}

TEST(EfficientNet, EveryByteOnTheCoreIsTheHosts) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Model model = quantize_randomly(efficientnet(kSmall), 5);
  const Deployment d = deploy(model, load_target("mps2-an500"), folder.path(), random_inputs(model, 2));
  EXPECT_TRUE(d.identical()) << d.first_difference;
  EXPECT_EQ(d.outputs_compared, 2);
}

}  // namespace
}  // namespace micromind
