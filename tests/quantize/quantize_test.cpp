#include "micromind/quantize/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

using testing::HasSubstr;

TEST(Calibration, MinmaxPercentileAndMse) {
  Calibrator calibrator(2);
  Random random(1);
  std::vector<float> numbers(20000);
  for (float& x : numbers) x = random.normal();
  numbers[7] = 100;  // an outlier
  calibrator.observe(0, numbers);
  calibrator.observe(1, std::vector<float>{0.5f, 2.0f});
  const Range minmax = calibrator.ranges({.method = CalibrationMethod::minmax})[0];
  EXPECT_EQ(minmax.max, 100);
  const Range percentile = calibrator.ranges({.method = CalibrationMethod::percentile, .percentile = 99.9})[0];
  EXPECT_NEAR(percentile.max, 3.3, 0.4);
  EXPECT_NEAR(percentile.min, -3.3, 0.4);
  const Range mse = calibrator.ranges({.method = CalibrationMethod::mse})[0];
  EXPECT_LT(mse.max, 100);
  EXPECT_GT(mse.max, 2.5);
  EXPECT_EQ(calibrator.ranges({.method = CalibrationMethod::minmax})[1].min, 0);  // zero is always inside
}

TEST(Calibration, DoesNotDependOnTheOrderOfSamples) {
  const std::vector<float> small = {0.001f, -0.02f, 0.3f}, large = {700, -3, 0.5f};
  Calibrator a(1), b(1);
  a.observe(0, small);
  a.observe(0, large);
  b.observe(0, large);
  b.observe(0, small);
  const CalibrationOptions options{.method = CalibrationMethod::percentile, .percentile = 80};
  EXPECT_EQ(a.ranges(options)[0], b.ranges(options)[0]);
}

TEST(Calibration, RefusesWhatWasNeverSeenOrIsNotFinite) {
  Calibrator calibrator(2);
  calibrator.observe(0, std::vector<float>{1});
  EXPECT_THROW(calibrator.ranges({}), Error);
  calibrator.observe(1, std::vector<float>{std::numeric_limits<float>::quiet_NaN()});
  EXPECT_THROW(calibrator.ranges({}), Error);
  EXPECT_THROW(calibration_method_from("percentle"), Error);
}

TEST(Quantization, CoversTheRangeAndRepresentsZero) {
  const Quantization relu = choose_quantization({0, 6});
  EXPECT_EQ(relu.zero_point, -128);
  EXPECT_NEAR(relu.scale, 6 / 255.0, 1e-7);
  const Quantization both = choose_quantization({-1, 3});
  EXPECT_EQ(quantize_value(0, both), both.zero_point);
  EXPECT_EQ(choose_quantization({0, 0}).zero_point, 0);
  EXPECT_EQ(quantize_value(1e9f, both), 127);
  EXPECT_EQ(quantize_value(-1e9f, both), -128);
}

// A float graph with random weights, and what the plain arithmetic of one operator after another gives.
struct Case {
  Graph graph{"case"};
  Weights weights;
  void randomise(std::uint64_t seed) {
    for (const NamedParameter& p : parameters(graph)) {
      Random random(seed, {std::hash<std::string>{}(p.name)});
      Array array(ElementType::float32, p.shape);
      for (float& x : array.values<float>()) x = p.name.ends_with("running_var") ? random.uniform(0.5f, 2) : random.normal() * 0.4f;
      weights[p.name] = array;
    }
  }
};

TEST(Fold, BatchNormGoesIntoTheWeightsInRuntimeLayout) {
  Case c;
  int x = c.graph.add_input("image", {2, 3, 3});
  x = c.graph.add("conv", Conv2d{.out_channels = 2, .kernel = {1, 2}, .bias = false}, {x});
  x = c.graph.add("norm", BatchNorm{.eps = 0}, {x});
  c.graph.add_output("out", x);
  Array weight(ElementType::float32, {2, 2, 1, 2});
  for (int i = 0; i < 8; ++i) weight.values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i);  // OIHW
  c.weights["conv.weight"] = weight;
  const auto vec = [](float a, float b) {
    Array array(ElementType::float32, {2});
    array.values<float>()[0] = a;
    array.values<float>()[1] = b;
    return array;
  };
  c.weights["norm.weight"] = vec(2, 1);
  c.weights["norm.bias"] = vec(1, -1);
  c.weights["norm.running_mean"] = vec(3, 4);
  c.weights["norm.running_var"] = vec(4, 1);  // scale: 2/2 = 1 and 1
  const Lowered l = lower(c.graph);
  const FoldedNode folded = fold(c.graph, l, c.weights, 0);
  EXPECT_EQ(folded.weight, (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));  // O, KH, KW, I
  EXPECT_EQ(folded.bias, (std::vector<float>{-2, -5}));
}

TEST(Fold, LinearBehindAFlattenedImageReadsHwcOrder) {
  Case c;
  int x = c.graph.add_input("image", {2, 1, 2});
  x = c.graph.add("flatten", Flatten{}, {x});
  c.graph.add_output("out", c.graph.add("linear", Linear{.out_features = 1, .bias = false}, {x}));
  Array weight(ElementType::float32, {1, 4});
  for (int i = 0; i < 4; ++i) weight.values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i);
  c.weights["linear.weight"] = weight;
  EXPECT_EQ(fold(c.graph, lower(c.graph), c.weights, 1).weight, (std::vector<float>{0, 2, 1, 3}));
}

TEST(Quantize, Int8FollowsTheFloatsOfAConvolution) {
  Case c;
  const int x = c.graph.add_input("image", {3, 6, 6});
  int y = c.graph.add("conv", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1, .bias = false}, {x});
  y = c.graph.add("norm", BatchNorm{}, {y});
  y = c.graph.add("relu", Activation{Function::relu}, {y});
  c.graph.add_output("out", y);
  c.randomise(5);
  Random random(9);
  std::vector<float> image(108);
  for (float& v : image) v = random.uniform(-1, 1);

  // Plain float convolution with the folded weights.
  const Lowered l = lower(c.graph);
  const FoldedNode f = fold(c.graph, l, c.weights, 0);
  std::vector<float> expected(4 * 36);
  for (int o = 0; o < 4; ++o)
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) {
        double sum = f.bias[static_cast<std::size_t>(o)];
        for (int kh = 0; kh < 3; ++kh)
          for (int kw = 0; kw < 3; ++kw)
            for (int k = 0; k < 3; ++k) {
              const int h = i + kh - 1, w = j + kw - 1;
              if (h < 0 || h > 5 || w < 0 || w > 5) continue;
              sum += f.weight[static_cast<std::size_t>(((o * 3 + kh) * 3 + kw) * 3 + k)] * image[static_cast<std::size_t>(k * 36 + h * 6 + w)];
            }
        expected[static_cast<std::size_t>(o * 36 + i * 6 + j)] = static_cast<float>(std::max(0.0, sum));
      }
  std::vector<Range> ranges(c.graph.values().size());
  ranges[static_cast<std::size_t>(x)] = {-1, 1};
  ranges[static_cast<std::size_t>(y)] = {0, *std::max_element(expected.begin(), expected.end())};
  const Model model = quantize(c.graph, l, c.weights, ranges);
  EXPECT_TRUE(is_quantized(model));
  EXPECT_EQ(model.weights.at("conv.weight").scales.size(), 4u);
  Int8Executor executor(model);
  executor.set_input(0, image);
  executor.run();
  const std::vector<float> out = executor.output_as_float(0);
  const float step = model.graph.type(1).quantization->scale;
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], expected[i], 3 * step);
}

TEST(Quantize, PassThroughOperatorsShareOneScaleAndSigmoidIsFixed) {
  Case c;
  const int x = c.graph.add_input("image", {4, 4, 4});
  const int a = c.graph.add("conv", Conv2d{.out_channels = 4}, {x});
  const int s = c.graph.add("gate", Activation{Function::sigmoid}, {a});
  const int cat = c.graph.add("concat", Concat{}, {a, s});
  const int pool = c.graph.add("pool", MaxPool2d{}, {cat});
  c.graph.add_output("out", pool);
  c.randomise(1);
  std::vector<Range> ranges(c.graph.values().size(), Range{-2, 2});
  ranges[static_cast<std::size_t>(a)] = {-5, 1};
  const Model m = quantize(c.graph, lower(c.graph), c.weights, ranges);
  const auto q = [&](const char* node) { return *m.graph.type(m.graph.nodes()[static_cast<std::size_t>(m.graph.find_node(node))].outputs[0]).quantization; };
  EXPECT_EQ(q("gate"), (Quantization{1.0f / 256, -128}));
  EXPECT_EQ(q("concat"), q("pool"));
  EXPECT_EQ(q("concat"), q("conv"));
  EXPECT_EQ(q("concat"), q("concat.requantize1"));
  EXPECT_EQ(q("pool"), choose_quantization({-5, 2}));
  Int8Executor executor(m);  // and the kernels accept it
  executor.run();
}

TEST(Quantize, BadWeightsAreNamed) {
  Case c;
  const int x = c.graph.add_input("image", {1, 2, 2});
  c.graph.add_output("out", c.graph.add("head.conv", Conv2d{.out_channels = 1}, {x}));
  const std::vector<Range> ranges(2, Range{-1, 1});
  const Lowered l = lower(c.graph);
  const auto message = [&] {
    try {
      quantize(c.graph, l, c.weights, ranges);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message(), HasSubstr("head.conv.weight"));
  c.randomise(2);
  c.weights["head.conv.bias"].values<float>()[0] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message(), HasSubstr("not finite"));
  c.weights["head.conv.bias"] = Array(ElementType::float32, {3});
  EXPECT_THAT(message(), HasSubstr("head.conv.bias"));
  EXPECT_THROW(Int8Executor(Model{c.graph, c.weights}), Error);
}

TEST(Quantize, ADeadChannelWithABiasStillFits) {
  Case c;
  const int x = c.graph.add_input("image", {1, 2, 2});
  c.graph.add_output("out", c.graph.add("conv", Conv2d{.out_channels = 2}, {x}));
  c.randomise(3);
  c.weights["conv.weight"].values<float>()[0] = 0;
  c.weights["conv.bias"].values<float>()[0] = 1.5f;
  const Model m = quantize(c.graph, lower(c.graph), c.weights, {{-1, 1}, {-2, 2}});
  Int8Executor executor(m);
  executor.run();
  EXPECT_NEAR(executor.output_as_float(0)[0], 1.5f, 0.02f);
}

}  // namespace
}  // namespace micromind
