#include "micromind/reference/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <functional>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/networks/phinet.h"
#include "error_of.h"

namespace micromind {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

Array array(const Shape& shape, const std::vector<float>& numbers) {
  Array a(ElementType::float32, shape);
  EXPECT_EQ(static_cast<std::size_t>(a.elements()), numbers.size());
  std::copy(numbers.begin(), numbers.end(), a.values<float>().begin());
  return a;
}

std::vector<float> iota(const Shape& shape, float start = 1) {
  std::vector<float> v(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = start + static_cast<float>(i);
  return v;
}

// All outputs of one node "n" that reads the given arrays.
std::vector<std::vector<float>> run_op(const Op& op, const std::vector<Array>& inputs, const Weights& weights = {}) {
  Graph g("one");
  Arrays named;
  std::vector<int> values;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    values.push_back(g.add_input("in" + std::to_string(i), inputs[i].shape()));
    named["in" + std::to_string(i)] = inputs[i];
  }
  g.add("n", op, values);
  for (std::size_t k = 0; k < g.nodes()[0].outputs.size(); ++k) g.add_output("out" + std::to_string(k), g.nodes()[0].outputs[k]);
  std::vector<std::vector<float>> out;
  for (const auto& [name, a] : run_reference(g, weights, named)) out.emplace_back(a.values<float>().begin(), a.values<float>().end());
  return out;
}

void expect_near(const std::vector<float>& got, const std::vector<float>& expected) { EXPECT_THAT(got, Pointwise(FloatNear(1e-5f), expected)); }

// Convolution straight from its definition, in double: an independent second opinion on index arithmetic.
std::vector<float> definition(const Conv2d& op, const Array& x, const Array& w, const Array* bias) {
  const Shape in = x.shape(), out = infer(op, std::vector<Shape>{in})[0];
  const int per_in = in[0] / op.groups, per_out = out[0] / op.groups;
  std::vector<float> y;
  for (int o = 0; o < out[0]; ++o)
    for (int r = 0; r < out[1]; ++r)
      for (int c = 0; c < out[2]; ++c) {
        double sum = bias != nullptr ? bias->values<float>()[static_cast<std::size_t>(o)] : 0;
        for (int i = 0; i < per_in; ++i)
          for (int ky = 0; ky < op.kernel.h; ++ky)
            for (int kx = 0; kx < op.kernel.w; ++kx) {
              const int yy = r * op.stride.h + ky * op.dilation.h - op.padding.top, xx = c * op.stride.w + kx * op.dilation.w - op.padding.left;
              if (yy < 0 || yy >= in[1] || xx < 0 || xx >= in[2]) continue;
              const int channel = o / per_out * per_in + i;
              sum += static_cast<double>(w.values<float>()[static_cast<std::size_t>(((o * per_in + i) * op.kernel.h + ky) * op.kernel.w + kx)]) *
                     x.values<float>()[static_cast<std::size_t>((channel * in[1] + yy) * in[2] + xx)];
            }
        y.push_back(static_cast<float>(sum));
      }
  return y;
}

Array random_array(const Shape& shape, std::uint64_t seed) {
  Array a(ElementType::float32, shape);
  Random random(seed);
  for (float& v : a.values<float>()) v = random.normal();
  return a;
}

TEST(ReferenceConv2d, HandComputed) {
  const Array x = array({1, 3, 3}, iota({1, 3, 3}));
  const Array w = array({1, 1, 2, 2}, {1, 0, 0, 1});
  EXPECT_THAT(run_op(Conv2d{.out_channels = 1, .kernel = 2, .bias = false}, {x}, {{"n.weight", w}})[0], ElementsAre(6, 8, 12, 14));
  EXPECT_THAT(run_op(Conv2d{.out_channels = 1, .kernel = 2, .activation = Function::relu6}, {x}, {{"n.weight", w}, {"n.bias", array({1}, {-7})}})[0],
              ElementsAre(0, 1, 5, 6));
}

TEST(ReferenceConv2d, FollowsItsDefinition) {
  const std::vector<Conv2d> cases = {
      {.out_channels = 4, .kernel = 3, .padding = 1},
      {.out_channels = 4, .kernel = 3, .stride = 2, .padding = {0, 1, 0, 1}, .bias = false},
      {.out_channels = 6, .kernel = {5, 2}, .stride = {1, 3}, .padding = {3, 0, 2, 4}, .groups = 2},
      {.out_channels = 4, .kernel = 5, .padding = 2, .groups = 4, .bias = false},
      {.out_channels = 8, .kernel = 3, .stride = 2, .padding = 1, .groups = 4},
      {.out_channels = 3, .kernel = 1},
      {.out_channels = 3, .kernel = 1, .stride = 2},
      {.out_channels = 3, .kernel = 1, .padding = 1},
      {.out_channels = 2, .kernel = 3, .dilation = {2, 3}, .padding = 4},
      {.out_channels = 2, .kernel = {1, 9}, .padding = {0, 0, 8, 8}},  // rows that lie wholly in the padding
  };
  for (const Shape& shape : {Shape{4, 7, 9}, Shape{4, 8, 6}}) {
    const Array x = random_array(shape, 1);
    for (const Conv2d& op : cases) {
      const Array w = random_array({op.out_channels, 4 / op.groups, op.kernel.h, op.kernel.w}, 2), b = random_array({op.out_channels}, 3);
      expect_near(run_op(op, {x}, {{"n.weight", w}, {"n.bias", b}})[0], definition(op, x, w, op.bias ? &b : nullptr));
    }
  }
}

TEST(Reference, Linear) {
  const Weights w = {{"n.weight", array({2, 3}, {1, 2, 3, -1, 0, 1})}, {"n.bias", array({2}, {10, -10})}};
  EXPECT_THAT(run_op(Linear{.out_features = 2}, {array({3}, {1, 2, 3})}, w)[0], ElementsAre(24, -8));
}

TEST(Reference, BatchNorm) {
  const Weights w = {{"n.weight", array({2}, {2, 1})}, {"n.bias", array({2}, {1, 0})}, {"n.running_mean", array({2}, {3, 0})}, {"n.running_var", array({2}, {3.75f, 0.75f})}};
  expect_near(run_op(BatchNorm{.eps = 0.25f}, {array({2, 1, 2}, {3, 5, 1, -2})}, w)[0], {1, 3, 1, -2});
}

TEST(Reference, Activations) {
  const Array x = array({5}, {-4, -1, 0, 2, 7});
  const auto sigmoid = [](float v) { return 1 / (1 + std::exp(-v)); };
  expect_near(run_op(Activation{Function::none}, {x})[0], {-4, -1, 0, 2, 7});
  expect_near(run_op(Activation{Function::relu}, {x})[0], {0, 0, 0, 2, 7});
  expect_near(run_op(Activation{Function::relu6}, {x})[0], {0, 0, 0, 2, 6});
  expect_near(run_op(Activation{Function::hard_swish}, {x})[0], {0, -1.0f / 3, 0, 5.0f / 3, 7});
  expect_near(run_op(Activation{Function::hard_sigmoid}, {x})[0], {0, 1.0f / 3, 0.5f, 5.0f / 6, 1});
  expect_near(run_op(Activation{Function::sigmoid}, {x})[0], {sigmoid(-4), sigmoid(-1), 0.5f, sigmoid(2), sigmoid(7)});
  expect_near(run_op(Activation{Function::silu}, {x})[0], {-4 * sigmoid(-4), -sigmoid(-1), 0, 2 * sigmoid(2), 7 * sigmoid(7)});
}

TEST(Reference, AddAndMultiply) {
  const Array x = array({2, 1, 2}, {1, -2, 3, 4});
  EXPECT_THAT(run_op(Add{}, {x, x})[0], ElementsAre(2, -4, 6, 8));
  EXPECT_THAT(run_op(Add{.activation = Function::relu}, {x, x})[0], ElementsAre(2, 0, 6, 8));
  EXPECT_THAT(run_op(Multiply{}, {x, array({2, 1, 1}, {10, 100})})[0], ElementsAre(10, -20, 300, 400));
  EXPECT_THAT(run_op(Multiply{}, {array({2, 1, 1}, {10, 100}), x})[0], ElementsAre(10, -20, 300, 400));
  EXPECT_THAT(run_op(Multiply{}, {x, array({1, 1, 2}, {10, 100})})[0], ElementsAre(10, -200, 30, 400));
  EXPECT_THAT(run_op(Multiply{}, {array({2}, {2, 3}), array({1}, {5})})[0], ElementsAre(10, 15));
}

TEST(Reference, ConcatAndSplit) {
  const Array x = array({1, 2, 2}, {1, 2, 3, 4}), y = array({1, 2, 1}, {5, 6});
  EXPECT_THAT(run_op(Concat{.axis = 2}, {x, y})[0], ElementsAre(1, 2, 5, 3, 4, 6));
  EXPECT_THAT(run_op(Concat{}, {x, x})[0], ElementsAre(1, 2, 3, 4, 1, 2, 3, 4));
  const auto parts = run_op(Split{.axis = 2, .sizes = {1, 2}}, {array({1, 2, 3}, iota({6}))});
  EXPECT_THAT(parts[0], ElementsAre(1, 4));
  EXPECT_THAT(parts[1], ElementsAre(2, 3, 5, 6));
}

TEST(Reference, Pools) {
  const Array x = array({1, 3, 3}, {-1, -2, -3, -4, -5, -6, -7, -8, -9});
  EXPECT_THAT(run_op(MaxPool2d{.kernel = 2, .stride = 1}, {x})[0], ElementsAre(-1, -2, -4, -5));
  EXPECT_THAT(run_op(MaxPool2d{.kernel = 3, .stride = 2, .padding = 1}, {x})[0], ElementsAre(-1, -2, -4, -5));
  EXPECT_THAT(run_op(AvgPool2d{.kernel = 2, .stride = 1}, {x})[0], ElementsAre(-3, -4, -6, -7));
  EXPECT_THAT(run_op(AvgPool2d{.kernel = 2, .stride = 2, .padding = {1, 0, 1, 0}}, {x})[0], ElementsAre(-1, -2.5f, -5.5f, -7));  // padding is not counted
  EXPECT_THAT(run_op(AdaptiveAvgPool2d{}, {x})[0], ElementsAre(-5));
  EXPECT_THAT(run_op(AdaptiveAvgPool2d{.output = 2}, {x})[0], ElementsAre(-3, -4, -6, -7));  // bins overlap
  EXPECT_THAT(run_op(AdaptiveAvgPool2d{.output = {1, 6}}, {x})[0], ElementsAre(-4, -4, -5, -5, -6, -6));
}

TEST(Reference, UpsamplePadSoftmaxAndIdentities) {
  const Array x = array({1, 2, 2}, {1, 2, 3, 4});
  EXPECT_THAT(run_op(Upsample{.scale = {1, 2}}, {x})[0], ElementsAre(1, 1, 2, 2, 3, 3, 4, 4));
  EXPECT_THAT(run_op(Pad{{1, 0, 0, 1}}, {x})[0], ElementsAre(0, 0, 0, 1, 2, 0, 3, 4, 0));
  expect_near(run_op(Softmax{}, {array({2}, {1000, 1000 + std::log(3.0f)})})[0], {0.25f, 0.75f});
  expect_near(run_op(Softmax{}, {array({2, 1, 2}, {0, 5, 0, 5})})[0], {0.5f, 0.5f, 0.5f, 0.5f});
  for (const Op& op : std::vector<Op>{Dropout{.p = 0.9f}, Flatten{}, Requantize{}}) EXPECT_THAT(run_op(op, {x})[0], ElementsAre(1, 2, 3, 4));
}

Weights random_weights(const Graph& g) {
  Weights w;
  std::uint64_t seed = 0;
  for (const NamedParameter& p : parameters(g)) {
    w[p.name] = random_array(p.shape, ++seed);
    for (float& v : w[p.name].values<float>()) v = p.name.ends_with("running_var") ? 1.0f : v * 0.3f;
  }
  return w;
}

TEST(ReferenceExecutor, ObservesEveryValueOnceInOrder) {
  const Graph g = phinet({.input = {3, 32, 32}, .include_top = true});
  const Weights w = random_weights(g);
  std::vector<int> seen;
  std::size_t wrong = 0;
  run_reference(g, w, {{"image", random_array({3, 32, 32}, 9)}}, [&](int value, std::span<const float> numbers) {
    seen.push_back(value);
    wrong += numbers.size() != static_cast<std::size_t>(g.shape(value).elements());
  });
  ASSERT_EQ(seen.size(), g.values().size());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(wrong, 0u);
}

TEST(ReferenceExecutor, RunsTheDefaultPhiNetInAFractionOfASecond) {
  const Graph g = phinet();
  const Weights w = random_weights(g);
  const ReferenceExecutor executor(g, w);
  const Array image = random_array({3, 224, 224}, 9);
  const auto start = std::chrono::steady_clock::now();
  executor.run({{"image", image}});
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  std::printf("phinet 3x224x224: %.1f ms\n", ms);
  EXPECT_LT(ms, 1000);
}

TEST(ReferenceExecutor, NamesWhatDoesNotFit) {
  const Graph g = phinet({.input = {3, 32, 32}});
  Weights w = random_weights(g);
  const Array image = random_array({3, 32, 32}, 9);
  EXPECT_THAT(error_of([&] { run_reference(g, w, {{"imag", image}}); }), HasSubstr("'image'"));
  EXPECT_THAT(error_of([&] { run_reference(g, w, {}); }), HasSubstr("missing"));
  EXPECT_THAT(error_of([&] { run_reference(g, w, {{"image", random_array({3, 31, 32}, 9)}}); }), HasSubstr("3×31×32"));
  EXPECT_THAT(error_of([&] { run_reference(g, w, {{"image", Array(ElementType::int8, {3, 32, 32})}}); }), HasSubstr("int8"));
  w["stem.norm.bias"] = random_array({3}, 1);
  EXPECT_THAT(error_of([&] { run_reference(g, w, {{"image", image}}); }), HasSubstr("stem.norm.bias"));
  w.erase("stem.norm.bias");
  EXPECT_THAT(error_of([&] { run_reference(g, w, {{"image", image}}); }), HasSubstr("stem.norm.bias"));
}

}  // namespace
}  // namespace micromind
