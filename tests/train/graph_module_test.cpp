#include "micromind/train/graph_module.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/reference/reference.h"
#include "micromind/train/loss.h"
#include "micromind/train/operators.h"
#include "micromind/networks/blocks.h"
#include "micromind/train/distributed/ranks.h"
#include "train/toy_graph.h"

namespace micromind {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

at::Tensor noise(at::IntArrayRef shape, std::uint64_t seed = 1) {
  const at::Tensor t = at::empty(shape, at::kFloat);
  Random random(seed);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = random.normal();
  return t;
}

// Every operator, most of them with uneven extents, strides and padding.
Graph every_operator() {
  Graph g("every");
  int x = g.add_input("image", {4, 9, 7});
  const int pad = g.add("pad", Pad{.padding = {1, 0, 2, 1}}, {x});
  const int conv = g.add("conv", Conv2d{.out_channels = 8, .kernel = {3, 2}, .stride = {2, 1}, .dilation = {1, 2},
                                        .padding = {0, 1, 1, 2}, .groups = 2}, {pad});
  const int norm = g.add("norm", BatchNorm{}, {conv});
  const int silu = g.add("silu", Activation{Function::silu}, {norm});
  const int parts = g.add("split", Split{.axis = 0, .sizes = {3, 5}}, {silu});
  const int swapped = g.add("concat", Concat{.axis = 0}, {parts + 1, parts});
  const int sum = g.add("add", Add{.activation = Function::relu6}, {silu, swapped});
  const int pooled = g.add("gap", AdaptiveAvgPool2d{.output = 1}, {sum});
  const int gate = g.add("gate", Activation{Function::hard_sigmoid}, {pooled});
  const int scaled = g.add("scale", Multiply{}, {sum, gate});
  const int largest = g.add("max", MaxPool2d{.kernel = 3, .stride = 2, .padding = {1, 2, 0, 1}}, {scaled});
  const int mean = g.add("mean", AvgPool2d{.kernel = 2, .stride = 1, .padding = {1, 0, 0, 1}}, {largest});
  const int bins = g.add("bins", AdaptiveAvgPool2d{.output = {2, 3}}, {mean});
  const int up = g.add("up", Upsample{.scale = {2, 1}}, {bins});
  const int drop = g.add("drop", Dropout{.p = 0.3f}, {up});
  const int same = g.add("same", Requantize{}, {drop});
  const int flat = g.add("flat", Flatten{}, {same});
  const int linear = g.add("linear", Linear{.out_features = 5, .activation = Function::hard_swish}, {flat});
  g.add_output("features", same);
  g.add_output("probabilities", g.add("softmax", Softmax{}, {linear}));
  return g;
}

float activate(Function f, float x) {
  const float hard = std::min(std::max(x + 3, 0.0f), 6.0f) / 6;
  switch (f) {
    case Function::none: return x;
    case Function::relu: return std::max(x, 0.0f);
    case Function::relu6: return std::min(std::max(x, 0.0f), 6.0f);
    case Function::hard_swish: return x * hard;
    case Function::silu: return x / (1 + std::exp(-x));
    case Function::sigmoid: return 1 / (1 + std::exp(-x));
    case Function::hard_sigmoid: return hard;
  }
  return NAN;
}

// out[n, c, y, x] = f(n, c, y, x), by plain loops.
at::Tensor make(at::IntArrayRef shape, const std::function<float(int, int, int, int)>& f) {
  const at::Tensor t = at::empty(shape, at::kFloat);
  float* p = t.data_ptr<float>();
  for (int n = 0; n < shape[0]; ++n)
    for (int c = 0; c < shape[1]; ++c)
      for (int y = 0; y < shape[2]; ++y)
        for (int x = 0; x < shape[3]; ++x) *p++ = f(n, c, y, x);
  return t;
}

// A pixel, or `outside` where there is none.
float pixel(const at::Tensor& t, int n, int c, int y, int x, float outside) {
  if (y < 0 || x < 0 || y >= t.size(2) || x >= t.size(3)) return outside;
  return t.data_ptr<float>()[((n * t.size(1) + c) * t.size(2) + y) * t.size(3) + x];
}

at::Tensor one(const Op& op, const at::Tensor& x, const TensorList& parameters = {}) {
  return apply(op, {x}, parameters, {}).at(0);
}

void expect_close(const at::Tensor& found, const at::Tensor& expected) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_TRUE(found.allclose(expected, 1e-5, 1e-5)) << (found - expected).abs().max().item<float>();
}

TEST(Operators, ConvolutionEqualsPlainLoops) {
  const at::Tensor x = noise({2, 4, 9, 7}), w = noise({6, 2, 3, 2}, 2), b = noise({6}, 3);
  for (const Padding pad : {Padding(0), Padding(1), Padding(0, 1, 2, 0)}) {
    const Conv2d conv{.out_channels = 6, .kernel = {3, 2}, .stride = {2, 1}, .dilation = {1, 2}, .padding = pad, .groups = 2,
                      .activation = Function::relu6};
    const Shape in = {4, 9, 7}, out = conv.infer({&in, 1})[0];
    expect_close(one(conv, x, {w, b}), make({2, 6, out[1], out[2]}, [&](int n, int c, int y, int xx) {
                   double sum = b.data_ptr<float>()[c];
                   for (int i = 0; i < 2; ++i)
                     for (int ky = 0; ky < 3; ++ky)
                       for (int kx = 0; kx < 2; ++kx)
                         sum += pixel(w, c, i, ky, kx, 0) *
                                pixel(x, n, c / 3 * 2 + i, 2 * y + ky - pad.top, xx + 2 * kx - pad.left, 0);
                   return activate(Function::relu6, static_cast<float>(sum));
                 }));
  }
}

TEST(Operators, PoolingEqualsPlainLoops) {
  const at::Tensor x = noise({2, 3, 8, 7}) - 3;  // mostly negative: a padded zero would win
  for (const Padding pad : {Padding(0), Padding(1), Padding(2, 1, 0, 2), Padding(2)}) {
    const MaxPool2d most{.kernel = 3, .stride = 2, .padding = pad};
    const AvgPool2d mean{.kernel = 3, .stride = 2, .padding = pad};
    const Shape in = {3, 8, 7}, out = most.infer({&in, 1})[0];
    const auto window = [&](int n, int c, int y, int xx, auto&& use) {
      for (int ky = 0; ky < 3; ++ky)
        for (int kx = 0; kx < 3; ++kx)
          if (const float v = pixel(x, n, c, 2 * y + ky - pad.top, 2 * xx + kx - pad.left, NAN); !std::isnan(v)) use(v);
    };
    expect_close(one(most, x), make({2, 3, out[1], out[2]}, [&](int n, int c, int y, int xx) {
                   float best = -std::numeric_limits<float>::infinity();
                   window(n, c, y, xx, [&](float v) { best = std::max(best, v); });
                   return best;
                 }));
    expect_close(one(mean, x), make({2, 3, out[1], out[2]}, [&](int n, int c, int y, int xx) {
                   float sum = 0, count = 0;
                   window(n, c, y, xx, [&](float v) { sum += v; ++count; });
                   return sum / count;
                 }));
  }
}

TEST(Operators, AdaptivePoolingUsesUnevenBins) {
  const at::Tensor x = noise({1, 2, 7, 5});
  expect_close(one(AdaptiveAvgPool2d{.output = {3, 2}}, x), make({1, 2, 3, 2}, [&](int n, int c, int y, int xx) {
                 const int top = y * 7 / 3, bottom = ((y + 1) * 7 + 2) / 3, left = xx * 5 / 2, right = ((xx + 1) * 5 + 1) / 2;
                 float sum = 0;
                 for (int i = top; i < bottom; ++i)
                   for (int j = left; j < right; ++j) sum += pixel(x, n, c, i, j, NAN);
                 return sum / static_cast<float>((bottom - top) * (right - left));
               }));
}

TEST(Operators, ElementwiseOnesEqualTheirFormulas) {
  const at::Tensor x = noise({2, 3, 4, 5}) * 4;
  for (const Function f : {Function::none, Function::relu, Function::relu6, Function::hard_swish, Function::silu,
                           Function::sigmoid, Function::hard_sigmoid})
    expect_close(one(Activation{f}, x), make({2, 3, 4, 5}, [&](int n, int c, int y, int xx) {
                   return activate(f, pixel(x, n, c, y, xx, NAN));
                 }));
  expect_close(one(Upsample{.scale = {2, 3}}, x), make({2, 3, 8, 15}, [&](int n, int c, int y, int xx) {
                 return pixel(x, n, c, y / 2, xx / 3, NAN);
               }));
  expect_close(one(Pad{.padding = {1, 2, 3, 0}}, x), make({2, 3, 7, 8}, [&](int n, int c, int y, int xx) {
                 return pixel(x, n, c, y - 1, xx - 3, 0);
               }));
  const at::Tensor gate = noise({2, 3, 1, 1}, 5);
  expect_close(apply(Multiply{}, {x, gate}, {}, {})[0], make({2, 3, 4, 5}, [&](int n, int c, int y, int xx) {
                 return pixel(x, n, c, y, xx, NAN) * pixel(gate, n, c, 0, 0, NAN);
               }));
  EXPECT_TRUE(one(Flatten{}, x.contiguous(at::MemoryFormat::ChannelsLast)).equal(x.view({2, 60})));
  EXPECT_TRUE(one(Softmax{}, x).sum(1).allclose(at::ones({2, 4, 5})));
  const TensorList parts = apply(Split{.axis = 0, .sizes = {1, 2}}, {x}, {}, {});
  EXPECT_TRUE(apply(Concat{.axis = 0}, parts, {}, {})[0].equal(x));
  EXPECT_TRUE(parts[1].equal(x.narrow(1, 1, 2)));
}

TEST(GraphModule, AgreesBetweenLayoutsAndShapesOfTheGraph) {
  const at::Tensor x = noise({3, 4, 9, 7});
  GraphModule last(every_operator(), {.seed = 1}), plain(every_operator(), {.seed = 1, .channels_last = false});
  for (const bool training : {true, false}) {
    last.train(training);
    plain.train(training);
    int seen = 0;
    last.observe([&](int value, const at::Tensor& t) {
      ++seen;
      const Shape& shape = last.graph().shape(value);
      ASSERT_EQ(t.dim(), shape.rank() + 1);
      for (int i = 0; i < shape.rank(); ++i) EXPECT_EQ(t.size(i + 1), shape[i]) << last.graph().value_name(value);
    });
    const auto a = last.forward(GraphModule::Named{{"image", x}}), b = plain.forward(GraphModule::Named{{"image", x}});
    EXPECT_EQ(seen, static_cast<int>(last.graph().values().size()));
    ASSERT_EQ(a.size(), 2u);
    for (const auto& [name, t] : a) EXPECT_TRUE(t.allclose(b.at(name), 1e-4, 1e-5)) << name;
  }
}

TEST(GraphModule, EveryOperatorEqualsTheReference) {
  GraphModule module(every_operator(), {.seed = 1});
  module.forward(GraphModule::Named{{"image", noise({3, 4, 9, 7})}});  // moves the running statistics
  module.eval();
  Array image(ElementType::float32, {4, 9, 7});
  const at::Tensor x = noise({1, 4, 9, 7}, 2);
  std::copy_n(x.data_ptr<float>(), x.numel(), image.values<float>().begin());
  std::map<int, std::vector<float>> found;
  module.observe_values([&](int v, std::span<const float> numbers) { found[v].assign(numbers.begin(), numbers.end()); });
  module.forward(GraphModule::Named{{"image", x}});
  int compared = 0;
  run_reference(module.graph(), module.to_weights(), {{"image", image}}, [&](int v, std::span<const float> expected) {
    ASSERT_EQ(expected.size(), found.at(v).size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(expected[i], found.at(v)[i], 1e-4) << module.graph().value_name(v) << " " << i;
    ++compared;
  });
  EXPECT_EQ(compared, static_cast<int>(module.graph().values().size()));
}

TEST(GraphModule, GradientsAreThoseOfFiniteDifferences) {
  Graph g("smooth");
  int x = g.add_input("x", {2, 5, 5});
  x = g.add("conv", Conv2d{.out_channels = 4, .kernel = 3, .padding = {1, 0, 1, 1}}, {x});
  x = g.add("norm", BatchNorm{}, {x});
  const int silu = g.add("silu", Activation{Function::silu}, {x});
  x = g.add("depthwise", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1, .groups = 4, .bias = false}, {silu});
  x = g.add("sum", Add{}, {x, silu});
  const int gap = g.add("gap", AdaptiveAvgPool2d{}, {x});
  x = g.add("scale", Multiply{}, {x, g.add("sigmoid", Activation{Function::sigmoid}, {gap})});
  x = g.add("drop", Dropout{.p = 0.2f, .channels = true}, {x});
  x = g.add("flat", Flatten{}, {g.add("mean", AvgPool2d{.padding = {1, 0, 0, 0}}, {x})});
  g.add_output("y", g.add("linear", Linear{.out_features = 3}, {x}));

  GraphModule module(g, {.seed = 3});
  const at::Tensor input = noise({4, 2, 5, 5});
  const auto loss = [&] { return module.forward(input).pow(2).sum(); };
  loss().backward();
  for (auto& [name, parameter] : module.trainable()) {
    at::Tensor flat = parameter.detach();
    const at::Tensor direction = noise(parameter.sizes().vec(), 11).sign();
    const double slope = (parameter.grad() * direction).sum().item<double>();
    constexpr double kStep = 1e-3;
    flat.add_(direction, kStep);
    const auto up = loss().item<double>();
    flat.sub_(direction, 2 * kStep);
    const auto down = loss().item<double>();
    flat.add_(direction, kStep);
    const double numeric = (up - down) / (2 * kStep);
    EXPECT_NEAR(slope, numeric, 0.02 * std::abs(numeric) + 0.02) << name;
  }
}

TEST(GraphModule, StartsLikePyTorchFromSeedAndNameAlone) {
  Graph g("init");
  const int x = g.add_input("x", {16, 8, 8});
  const int conv = g.add("conv", Conv2d{.out_channels = 64, .kernel = 3, .groups = 2}, {x});
  const int norm = g.add("norm", BatchNorm{}, {conv});
  g.add_output("y", norm);
  const Weights weights = initial_weights(g, 1);
  const float bound = 1 / std::sqrt(8.0f * 9);  // fan_in = 16/2 · 3 · 3
  double square = 0;
  float largest = 0;
  const auto values = weights.at("conv.weight").values<float>();
  for (const float v : values) {
    square += static_cast<double>(v) * v / static_cast<double>(values.size());
    largest = std::max(largest, std::abs(v));
  }
  EXPECT_LE(largest, bound);
  EXPECT_NEAR(square, bound * bound / 3, 0.03 * bound * bound / 3);  // the variance of a uniform distribution
  for (const float v : weights.at("conv.bias").values<float>()) EXPECT_LE(std::abs(v), bound);
  EXPECT_EQ(weights.at("norm.weight").values<float>()[5], 1);
  EXPECT_EQ(weights.at("norm.bias").values<float>()[5], 0);
  EXPECT_EQ(weights.at("norm.running_mean").values<float>()[5], 0);
  EXPECT_EQ(weights.at("norm.running_var").values<float>()[5], 1);

  Graph longer("longer");
  int y = longer.add_input("x", {16, 8, 8});
  y = longer.add("before", Conv2d{.out_channels = 16}, {y});
  y = longer.add("conv", Conv2d{.out_channels = 64, .kernel = 3, .groups = 2}, {y});
  EXPECT_EQ(initial_weights(longer, 1).at("conv.weight"), weights.at("conv.weight"));
  EXPECT_NE(initial_weights(g, 2).at("conv.weight"), weights.at("conv.weight"));
  EXPECT_EQ(GraphModule(g, {.seed = 1}).to_weights(), weights);
}

TEST(GraphModule, DropoutIsAFunctionOfSeedStepAndNode) {
  Graph g("drop");
  const int x = g.add_input("x", {50, 4, 4});
  g.add_output("whole", g.add("whole", Dropout{.p = 0.25f, .channels = true}, {x}));
  g.add_output("single", g.add("single", Dropout{.p = 0.25f}, {x}));
  GraphModule module(g, {.seed = 1});
  const at::Tensor ones = at::ones({20, 50, 4, 4});
  const auto at_step = [&](std::uint64_t step, const at::Tensor& input) {
    module.set_step(step);
    return module.forward(GraphModule::Named{{"x", input}});
  };
  const auto first = at_step(7, ones), again = at_step(7, ones), other = at_step(8, ones);
  for (const std::string name : {"whole", "single"}) {
    EXPECT_TRUE(first.at(name).equal(again.at(name)));
    EXPECT_FALSE(first.at(name).equal(other.at(name)));
    EXPECT_NEAR(first.at(name).mean().item<double>(), 1, 0.06);
    EXPECT_TRUE(at_step(7, ones.narrow(0, 0, 5)).at(name).equal(first.at(name).narrow(0, 0, 5)));  // sample by sample
  }
  EXPECT_TRUE(first.at("whole").eq(first.at("whole").narrow(3, 0, 1).narrow(2, 0, 1)).all().item<bool>());
  EXPECT_FALSE(first.at("whole").equal(first.at("single")));
  module.eval();
  EXPECT_TRUE(at_step(7, ones).at("single").equal(ones));
}

TEST(GraphModule, BatchNormKeepsPyTorchsShareOfTheBatch) {
  Graph g("norm");
  g.add_output("y", g.add("norm", BatchNorm{.eps = 1e-3f, .momentum = 0.999f}, {g.add_input("x", {1, 2, 1})}));
  GraphModule module(g);
  const at::Tensor x = at::arange(4, at::kFloat).view({2, 1, 2, 1});  // mean 1.5, unbiased variance 5/3
  module.forward(x);
  const Weights w = module.to_weights();
  EXPECT_NEAR(w.at("norm.running_mean").values<float>()[0], 0.999 * 1.5, 1e-5);
  EXPECT_NEAR(w.at("norm.running_var").values<float>()[0], 0.001 + 0.999 * 5 / 3, 1e-5);
  module.eval();
  const double expected = (3 - 0.999 * 1.5) / std::sqrt(0.001 + 0.999 * 5 / 3 + 1e-3);
  EXPECT_NEAR(module.forward(x).view({-1})[3].item<double>(), expected, 1e-5);

  Graph single("single");
  single.add_output("y", single.add("norm", BatchNorm{}, {single.add_input("x", {3})}));
  GraphModule one_value(single);
  EXPECT_THAT([&] { one_value.forward(at::ones({1, 3})); }, ThrowsMessage<Error>(HasSubstr("norm: one value a channel")));
}

TEST(GraphModule, RunsAnyPartAndShowsValuesInChannelOrder) {
  Graph g("parts");
  const int x = g.add_input("x", {2, 2, 2});
  const int conv = g.add("conv", Conv2d{.out_channels = 3}, {x});
  const int relu = g.add("relu", Activation{}, {conv});
  g.add_output("y", g.add("gap", AdaptiveAvgPool2d{}, {relu}));
  GraphModule module(g, {.seed = 2});
  module.eval();
  std::map<int, std::vector<float>> seen;
  module.observe_values([&](int v, std::span<const float> numbers) { seen[v].assign(numbers.begin(), numbers.end()); });
  const at::Tensor input = noise({2, 2, 2, 2});
  const at::Tensor whole = module.forward(input);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[x], std::vector<float>(input.data_ptr<float>(), input.data_ptr<float>() + 16));
  module.observe_values({});
  seen.clear();
  const int wanted[] = {g.outputs()[0].value};
  const auto late = module.forward(GraphModule::Numbered{{relu, module.forward(GraphModule::Numbered{{x, input}}, {{relu}}).at(relu)}}, wanted);
  EXPECT_TRUE(late.at(wanted[0]).equal(whole));
  EXPECT_TRUE(seen.empty());
  const std::vector<float> plain = module.run({input.data_ptr<float>(), 16}, 2);
  EXPECT_TRUE(std::equal(plain.begin(), plain.end(), whole.contiguous().data_ptr<float>()));
  EXPECT_THROW(module.run({input.data_ptr<float>(), 15}, 2), Error);
}

TEST(GraphModule, WeightsGoInAndOutExactlyOrNotAtAll) {
  GraphModule a(every_operator(), {.seed = 1}), b(every_operator(), {.seed = 2});
  Weights weights = a.to_weights();
  EXPECT_NE(b.to_weights(), weights);
  b.load(weights);
  EXPECT_EQ(b.to_weights(), weights);
  Weights missing = weights, extra = weights, shape = weights, type = weights;
  missing.erase("norm.running_var");
  extra["nosuch.weight"] = Array(ElementType::float32, {1});
  shape["linear.bias"] = Array(ElementType::float32, {6});
  type["linear.bias"] = Array(ElementType::int32, {5});
  EXPECT_THAT([&] { b.load(missing); }, ThrowsMessage<Error>(HasSubstr("norm.running_var")));
  EXPECT_THAT([&] { b.load(extra); }, ThrowsMessage<Error>(HasSubstr("nosuch.weight")));
  EXPECT_THAT([&] { b.load(shape); }, ThrowsMessage<Error>(HasSubstr("linear.bias")));
  EXPECT_THAT([&] { b.load(type); }, ThrowsMessage<Error>(HasSubstr("int32")));
  EXPECT_EQ(b.to_weights(), weights);
}

TEST(GraphModule, NamesWhatIsWrongWithAnInput) {
  GraphModule module(every_operator());
  const at::Tensor x = noise({1, 4, 9, 7});
  EXPECT_THAT([&] { module.forward(GraphModule::Named{}); }, ThrowsMessage<Error>(HasSubstr("'image' is missing")));
  EXPECT_THAT([&] { module.forward(GraphModule::Named{{"image", x}, {"imag", x}}); }, ThrowsMessage<Error>(HasSubstr("imag")));
  EXPECT_THAT([&] { module.forward(GraphModule::Named{{"image", noise({1, 4, 7, 9})}}); },
              ThrowsMessage<Error>(HasSubstr("1×4×7×9")));
  EXPECT_THROW(module.forward(GraphModule::Named{{"image", at::Tensor()}}), Error);
  EXPECT_THROW(module.forward(GraphModule::Named{{"image", at::zeros({0, 4, 9, 7})}}), Error);
  EXPECT_THROW(module.forward(x), Error);  // two outputs
  EXPECT_THROW(module.forward(GraphModule::Numbered{{0, x}}, {{99}}), Error);
  EXPECT_THROW(GraphModule(every_operator(), {.device = "gpu"}), Error);
  Graph integers("int8");
  integers.add_input("x", TensorType{{3}, ElementType::int8, Quantization{}});
  EXPECT_THAT([&] { GraphModule m(integers); }, ThrowsMessage<Error>(HasSubstr("int8")));
}

TEST(Loss, LabelSmoothingMixesInTheUniformDistribution) {
  const at::Tensor logits = noise({4, 5});
  const at::Tensor labels = at::arange(4, at::kLong);
  const double smoothing = 0.1;
  double expected = 0;
  for (int n = 0; n < 4; ++n) {
    double sum = 0;
    for (int c = 0; c < 5; ++c) sum += std::exp(logits[n][c].item<double>());
    for (int c = 0; c < 5; ++c) {
      const double target = (c == n ? 1 - smoothing : 0) + smoothing / 5;
      expected -= target * (logits[n][c].item<double>() - std::log(sum)) / 4;
    }
  }
  EXPECT_NEAR(cross_entropy(logits, labels, smoothing).item<double>(), expected, 1e-6);
  EXPECT_THROW(cross_entropy(logits, labels, 1), Error);
  EXPECT_THROW(cross_entropy(logits, labels + 2, 0), Error);  // a label of 5 among 5 classes
}

Graph block_graph() {
  Graph g("block");
  int x = conv_bn_act(g, "stem", g.add_input("image", {3, 12, 12}), {.out_channels = 8, .kernel = 3, .padding = 1});
  x = inverted_residual(g, "block", x, {.out_channels = 8});
  g.add_output("y", x);
  return g;
}

std::vector<std::string> running_means(const Graph& g, const std::string& beginning) {
  std::vector<std::string> names;
  for (const NamedParameter& p : parameters(g))
    if (p.name.starts_with(beginning) && p.name.ends_with("running_mean")) names.push_back(p.name);
  return names;
}

TEST(GraphModule, FrozenInvertedResidualsKeepTheirStatistics) {
  GraphModule module(block_graph(), {.seed = 1});
  module.freeze(std::vector<std::string>{"block"});
  const Weights before = module.to_weights();
  module.forward(noise({5, 3, 12, 12})).square().sum().backward();
  const Weights after = module.to_weights();
  const auto kept = running_means(module.graph(), "block."), moved = running_means(module.graph(), "stem.");
  ASSERT_EQ(kept.size(), 3u);
  ASSERT_EQ(moved.size(), 1u);
  for (const std::string& name : kept) EXPECT_EQ(after.at(name), before.at(name)) << name;
  EXPECT_NE(after.at(moved[0]), before.at(moved[0]));
}

// Alone, and counting what it is asked to add up.
struct OneRank : Ranks {
  int sums = 0;
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  void sum(at::Tensor) override { ++sums; }
  std::function<void()> begin_sum(at::Tensor) override { return [] {}; }
  void share(at::Tensor) override {}
  Bytes share(const Bytes& bytes) override { return bytes; }
  std::vector<std::string> gather(const std::string& text) override { return {text}; }
};

TEST(GraphModule, EveryBatchNormIsSynchronisedInFusedBlocksToo) {
  GraphModule module(block_graph(), {.seed = 1});
  OneRank ranks;
  module.join(ranks, /*sync_batch_norm=*/true);
  const at::Tensor y = module.forward(noise({5, 3, 12, 12}));
  EXPECT_EQ(ranks.sums, 4);
  y.square().sum().backward();
  EXPECT_EQ(ranks.sums, 8);
}

// The path that GPUs take, on the CPU: values and gradients near float32's, but not the same.
TEST(GraphModule, Bfloat16IsFloat32ToItsPrecision) {
  const at::Tensor images = noise({16, 1, 6, 6});
  std::map<std::string, at::Tensor> gradients[2];
  at::Tensor logits[2];
  for (const bool mixed : {false, true}) {
    GraphModule module(testing::toy_graph(), {.seed = 4, .bfloat16 = mixed});
    logits[mixed] = module.forward(images);
    EXPECT_EQ(logits[mixed].scalar_type(), at::kFloat);
    logits[mixed].square().mean().backward();
    for (const auto& [name, tensor] : module.trainable()) gradients[mixed][name] = tensor.grad();
  }
  const auto distance = [](const at::Tensor& a, const at::Tensor& b) { return a.sub(b).norm().item<double>() / (a.norm().item<double>() + 1e-6); };
  EXPECT_GT(distance(logits[0], logits[1]), 1e-5);
  EXPECT_LT(distance(logits[0], logits[1]), 0.03);
  for (const auto& [name, gradient] : gradients[0]) {
    EXPECT_EQ(gradients[1].at(name).scalar_type(), at::kFloat) << name;
    EXPECT_LT(distance(gradient, gradients[1].at(name)), 0.1) << name;
  }
}

TEST(GraphModule, SwapsItsNumbersWithoutCopying) {
  GraphModule module(every_operator(), {.seed = 1}), other(every_operator(), {.seed = 2});
  const Weights mine = module.to_weights(), theirs = other.to_weights();
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& t : other.tensors()) tensors.push_back(t.detach());
  const at::Tensor held = module.trainable()[0].second;  // as an optimiser holds it
  const void *before = held.data_ptr(), *outside = tensors[0].data_ptr();
  module.swap(tensors);
  EXPECT_EQ(module.to_weights(), theirs);
  EXPECT_EQ(held.data_ptr(), outside);
  EXPECT_EQ(tensors[0].data_ptr(), before);
  EXPECT_TRUE(held.requires_grad());
  module.swap(tensors);
  EXPECT_EQ(module.to_weights(), mine);
  EXPECT_EQ(held.data_ptr(), before);
  tensors.pop_back();
  EXPECT_THROW(module.swap(tensors), Error);
  EXPECT_EQ(module.to_weights(), mine);
}

TEST(GraphModule, FrozenLayersKeepWeightsAndStatistics) {
  Graph g("frozen");
  int x = g.add_input("image", {3, 6, 6});
  for (const std::string block : {"blocks.1", "blocks.10"}) {
    x = g.add(block + ".conv", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {x});
    x = g.add(block + ".norm", BatchNorm{}, {x});
    x = g.add(block + ".act", Activation{Function::relu}, {x});
  }
  g.add_output("y", x);
  for (const bool fused : {true, false}) {
    GraphModule module(g, {.seed = 1, .fused = fused});
    EXPECT_THAT([&] { module.freeze(std::vector<std::string>{"blocks.1", "blocks.2"}); }, ThrowsMessage<Error>(HasSubstr("blocks.1")));
    EXPECT_THAT([&] { module.freeze(std::vector<std::string>{"blocks.10.act"}); }, ThrowsMessage<Error>(HasSubstr("with parameters")));
    EXPECT_EQ(module.trainable().size(), 8u) << "a refused entry freezes nothing";
    module.freeze(std::vector<std::string>{"blocks.1"});
    ASSERT_EQ(module.trainable().size(), 4u);
    EXPECT_EQ(module.trainable()[0].first, "blocks.10.conv.weight");
    const Weights before = module.to_weights();
    module.forward(noise({5, 3, 6, 6})).square().sum().backward();
    const Weights after = module.to_weights();
    EXPECT_EQ(after.at("blocks.1.norm.running_mean"), before.at("blocks.1.norm.running_mean"));
    EXPECT_NE(after.at("blocks.10.norm.running_mean"), before.at("blocks.10.norm.running_mean"));
    for (const auto& [name, tensor] : module.trainable()) EXPECT_TRUE(tensor.grad().defined()) << name;
    for (const at::Tensor& t : module.tensors())
      EXPECT_TRUE(t.requires_grad() || !t.grad().defined());
  }
}

}  // namespace
}  // namespace micromind
