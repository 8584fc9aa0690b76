#include "micromind/train/qat.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/random.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/phinet.h"
#include "micromind/quantize/executor.h"
#include "micromind/quantize/folded_network.h"
#include "micromind/quantize/quantize.h"
#include "micromind/train/qat_operators.h"
#include "train/toy.h"

namespace micromind {
namespace {

using micromind::testing::toy_graph;
using micromind::testing::toy_section;
using micromind::testing::ToyTask;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

at::Tensor noise(const Shape& shape, std::int64_t batch, std::uint64_t seed, float size = 1) {
  std::vector<std::int64_t> sizes = {batch};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  at::Tensor t = at::empty(sizes, at::kFloat);
  Random random(seed);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = size * random.normal();
  return t;
}

// Weights whose batch norms have seen something.
Weights lived_in(const Graph& graph, std::uint64_t seed) {
  Weights weights = initial_weights(graph, seed);
  for (auto& [name, array] : weights) {
    Random random(seed, {std::hash<std::string>{}(name)});
    if (name.ends_with("running_var")) for (float& x : array.values<float>()) x = random.uniform(0.3f, 2);
    else if (name.ends_with("running_mean")) for (float& x : array.values<float>()) x = 0.3f * random.normal();
  }
  return weights;
}

std::vector<Range> ranges_of(const FoldedNetwork& network, const at::Tensor& images) {
  GraphModule module(network.graph);
  module.load(network.weights);
  module.eval();
  Calibrator calibrator(network.graph.values().size());
  module.observe_values([&](int v, std::span<const float> x) { calibrator.observe(v, x); });
  module.run({images.data_ptr<float>(), static_cast<std::size_t>(images.numel())}, images.size(0));
  return calibrator.ranges({.percentile = 99.9});
}

std::vector<std::vector<float>> int8_outputs(const Model& model, const at::Tensor& images) {
  Int8Executor executor(model);
  std::vector<std::vector<float>> list;
  const auto each = static_cast<std::size_t>(images.numel() / images.size(0));
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    executor.set_input(0, {images.data_ptr<float>() + i * static_cast<std::int64_t>(each), each});
    executor.run();
    list.push_back(executor.output_as_float(0));
  }
  return list;
}

void expect_equal(const at::Tensor& batch, const std::vector<std::vector<float>>& expected) {
  const at::Tensor rows = batch.detach().contiguous();
  ASSERT_EQ(rows.size(0), static_cast<std::int64_t>(expected.size()));
  for (std::size_t n = 0; n < expected.size(); ++n)
    for (std::size_t i = 0; i < expected[n].size(); ++i)
      ASSERT_EQ(rows.data_ptr<float>()[n * expected[n].size() + i], expected[n][i]) << "image " << n << ", number " << i;
}

// Every operator that a classifier may hold, with a linear layer behind a flattened image.
Graph many_operators() {
  Graph g("many");
  int x = g.add_input("image", {3, 12, 12});
  x = g.add("conv", Conv2d{.out_channels = 8, .kernel = 3, .padding = {1, 2, 0, 1}, .bias = false}, {x});
  x = g.add("norm", BatchNorm{}, {x});
  x = g.add("relu6", Activation{Function::relu6}, {x});
  const int a = g.add("grouped", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1, .groups = 2}, {x});
  const int b = g.add("swish", Activation{Function::hard_swish}, {a});
  const int s = g.add("sigmoid", Activation{Function::sigmoid}, {a});
  const int silu = g.add("silu", Activation{Function::silu}, {a});
  int y = g.add("gate", Multiply{}, {b, s});
  y = g.add("sum", Add{}, {y, silu});
  y = g.add("concat", Concat{}, {y, s});
  y = g.add("alone", BatchNorm{}, {y});
  y = g.add("max", MaxPool2d{}, {y});
  const int first = g.add("split", Split{.axis = 0, .sizes = {8, 8}}, {y});
  y = g.add("difference", Add{.activation = Function::relu}, {first, first + 1});
  y = g.add("average", AvgPool2d{}, {y});
  y = g.add("up", Upsample{}, {y});
  y = g.add("depthwise", Conv2d{.out_channels = 8, .kernel = 3, .stride = 2, .padding = 1, .groups = 8}, {y});
  y = g.add("drop", Dropout{.p = 0.3f}, {y});
  y = g.add("flatten", Flatten{}, {y});
  g.add_output("scores", g.add("classifier", Linear{.out_features = 5}, {y}));
  return g;
}

TEST(Qat, BothPassesAreTheInt8ModelByteForByte) {
  for (const QatRanges kind : {QatRanges::average, QatRanges::learned}) {
    for (const Graph& graph : {many_operators(), toy_graph(), phinet({.input = {3, 16, 16}, .num_layers = 4, .alpha = 0.3, .include_top = true})}) {
      SCOPED_TRACE(graph.name);
      const FoldedNetwork network = fold_network(graph, lived_in(graph, 3));
      const at::Tensor images = noise(graph.shape(0), 5, 7);
      GraphModule module(network.graph);
      train_as_int8(module, network.weights, ranges_of(network, images), {.ranges = kind});
      const std::vector<std::vector<float>> expected = int8_outputs(qat_model(network.graph, module.to_weights()), images);
      module.train();
      const at::Tensor learning = module.forward(images);
      expect_equal(learning, expected);
      learning.sum().backward();
      for (const auto& [name, tensor] : module.trainable())
        EXPECT_TRUE(tensor.grad().defined() && std::isfinite(tensor.grad().sum().item<float>())) << name;
      module.eval();
      // A moving average has moved: the model is made of what the module holds now.
      expect_equal(module.forward(images), int8_outputs(qat_model(network.graph, module.to_weights()), images));
    }
  }
}

TEST(Qat, TheStraightThroughGradientIsTheFloatOneAtInt8NumbersAndZeroOutsideTheRange) {
  Graph g("one");
  const int x = g.add_input("image", {2, 4, 4});
  g.add_output("out", g.add("conv", Conv2d{.out_channels = 3, .kernel = 3, .padding = 1}, {x}));
  const FoldedNetwork network = fold_network(g, lived_in(g, 1));
  const at::Tensor images = noise({2, 4, 4}, 3, 2, 0.5f), weight_of = noise({3, 4, 4}, 3, 4);
  // Float, at the numbers that int8 stands for.
  GraphModule module(g);
  train_as_int8(module, network.weights, {{-2, 2}, {-0.4f, 0.3f}});
  const Model model = qat_model(g, module.to_weights());
  const Quantization in = *model.graph.type(0).quantization, out = *model.graph.type(1).quantization;
  module.train();
  const at::Tensor result = module.forward(images);
  result.mul(weight_of).sum().backward();

  at::Tensor seen = images.clone();
  for (std::int64_t i = 0; i < seen.numel(); ++i) {
    float& v = seen.data_ptr<float>()[i];
    v = static_cast<float>(quantize_value(v, in) - in.zero_point) * in.scale;
  }
  at::Tensor weight = dequantized_weight(model.weights.at("conv.weight"), g.nodes()[0].op, {2, 4, 4}, {}).contiguous().requires_grad_(true);
  at::Tensor bias = at::empty({3}, at::kFloat);
  for (std::int64_t o = 0; o < 3; ++o)
    bias.data_ptr<float>()[o] = static_cast<float>(model.weights.at("conv.bias").values<std::int32_t>()[static_cast<std::size_t>(o)]) *
                                in.scale * model.weights.at("conv.weight").scales[static_cast<std::size_t>(o)];
  bias.requires_grad_(true);
  const at::Tensor y = apply(g.nodes()[0].op, {seen}, {weight, bias}, {})[0];
  const at::Tensor inside = y.detach().ge((-128 - out.zero_point) * out.scale).logical_and(y.detach().le((127 - out.zero_point) * out.scale));
  const auto share = inside.to(at::kFloat).mean().item<float>();
  EXPECT_GT(share, 0.3f);
  EXPECT_LT(share, 0.97f) << "nothing is clipped, the test shows nothing";
  y.mul(weight_of).mul(inside).sum().backward();
  const auto trained = module.trainable();
  EXPECT_TRUE(trained[0].second.grad().allclose(weight.grad(), 1e-4, 1e-5)) << trained[0].second.grad() << weight.grad();
  EXPECT_TRUE(trained[1].second.grad().allclose(bias.grad(), 1e-4, 1e-5));
}

TEST(Qat, TheGradientOfALearnedRangeIsLsqs) {
  const Quantization q = choose_quantization({-1, 2});
  at::Tensor real = at::empty({1, 4}, at::kFloat).requires_grad_(false);
  const std::vector<float> numbers = {-1.5f, 0.3337f, 1.234f, 2.5f}, gradient = {0.5f, 2, -3, 0.25f};
  std::copy(numbers.begin(), numbers.end(), real.data_ptr<float>());
  const at::Tensor bytes = quantize_batch(real, q);
  real.requires_grad_(true);
  at::Tensor logs = at::zeros({2}, at::kFloat).requires_grad_(true);
  const at::Tensor y = straight_through(real, bytes, q, logs);
  at::Tensor dy = at::empty({1, 4}, at::kFloat);
  std::copy(gradient.begin(), gradient.end(), dy.data_ptr<float>());
  y.mul(dy).sum().backward();
  EXPECT_EQ(real.grad().data_ptr<float>()[0], 0);
  EXPECT_EQ(real.grad().data_ptr<float>()[1], 2);
  EXPECT_EQ(real.grad().data_ptr<float>()[3], 0);
  const double step = static_cast<double>(q.scale), low = (-128 - q.zero_point) * step, high = (127 - q.zero_point) * step;
  double inside = 0;
  for (const std::size_t i : {1u, 2u}) inside += gradient[i] * (std::round(numbers[i] / step) - numbers[i] / step) / 255;
  const double share = 1 / std::sqrt(127.0 * 4);
  EXPECT_NEAR(logs.grad().data_ptr<float>()[1], share * (0.25 + inside) * high, 1e-6);
  EXPECT_NEAR(logs.grad().data_ptr<float>()[0], share * (0.5 - inside) * low, 1e-6);
}

TEST(Qat, TrainsByTheOrdinaryTrainerValidatesWhatIsWrittenAndResumesToTheSameBytes) {
  struct Stopped {};
  for (const QatRanges kind : {QatRanges::average, QatRanges::learned}) {
    TemporaryFolder whole, parts;
    const FoldedNetwork network = fold_network(toy_graph(), lived_in(toy_graph(), 2));
    ToyTask task;
    task.fill(1);
    const std::vector<Range> ranges = ranges_of(network, task.images);
    const auto train = [&](const std::filesystem::path& folder, TrainHooks hooks) {
      GraphModule module(network.graph, {.seed = 1});
      train_as_int8(module, network.weights, ranges, {.ranges = kind});
      ToyTask toy;
      TrainSection section = toy_section();
      section.epochs = 6;
      section.checkpoint_every_steps = 1;
      return Trainer(toy, module, {section, 1, folder, std::move(hooks)}).run();
    };
    const TrainResult result = train(whole.path(), {});
    EXPECT_GT(result.best.at("top1"), 0.8);
    EXPECT_LT(result.loss, 0.9);
    TrainHooks stop;
    stop.after_step = [](std::int64_t step) { if (step == 17) throw Stopped{}; };
    EXPECT_THROW(train(parts.path(), stop), Stopped);
    TrainHooks resume;
    resume.resume = true;
    train(parts.path(), resume);
    const Weights last = load_checkpoint(whole.path() / "checkpoints/last.pt");
    EXPECT_EQ(load_checkpoint(parts.path() / "checkpoints/last.pt"), last);

    // The last validation, by the executor of the model that would be written.
    ToyTask validation;
    validation.fill(2);
    const auto scores = int8_outputs(qat_model(network.graph, last), validation.images);
    double right = 0;
    for (std::size_t n = 0; n < scores.size(); ++n)
      right += std::max_element(scores[n].begin(), scores[n].end()) - scores[n].begin() == validation.labels.data_ptr<std::int64_t>()[n] ? 1 : 0;
    EXPECT_EQ(static_cast<float>(right / static_cast<double>(scores.size())), static_cast<float>(result.last.at("top1")));
    const auto moved = last.at("qat.ranges").values<float>();
    EXPECT_EQ(last.contains("qat.log_ranges"), kind == QatRanges::learned);
    if (kind == QatRanges::average) {
      bool other = false;
      for (std::size_t v = 0; v < ranges.size(); ++v) other = other || moved[2 * v + 1] != ranges[v].max;
      EXPECT_TRUE(other);
    } else {
      const auto logs = last.at("qat.log_ranges").values<float>();
      EXPECT_TRUE(std::any_of(logs.begin(), logs.end(), [](float x) { return x != 0; }));
    }
  }
}

TEST(Qat, ErrorsSayWhatIsWrong) {
  const FoldedNetwork network = fold_network(toy_graph(), lived_in(toy_graph(), 2));
  const std::vector<Range> ranges(network.graph.values().size(), Range{-1, 1});
  GraphModule module(network.graph), unfolded(toy_graph());
  const auto with = [&](std::vector<Range> r, QatOptions o = {}) { return [&network, &module, r, o] { train_as_int8(module, network.weights, r, o); }; };
  EXPECT_THAT([&] { train_as_int8(unfolded, {}, ranges); }, ThrowsMessage<Error>(HasSubstr("batch_norm in a network that is to run as int8")));
  EXPECT_THAT(with({{-1, 1}}), ThrowsMessage<Error>(HasSubstr("1 ranges for a network of")));
  std::vector<Range> bad = ranges;
  bad[1] = {0.5f, 1};
  EXPECT_THAT(with(bad), ThrowsMessage<Error>(HasSubstr("value 1: the range [0.5, 1]")));
  bad[1] = {-1, NAN};
  EXPECT_THAT(with(bad), ThrowsMessage<Error>(HasSubstr("not finite")));
  EXPECT_THAT(with(ranges, {.decay = 1}), ThrowsMessage<Error>(HasSubstr("decay = 1")));
  EXPECT_THAT([&] { train_as_int8(module, {}, ranges); }, ThrowsMessage<Error>(HasSubstr("conv.weight")));
  EXPECT_THROW(qat_ranges_from("learnt"), Error);
  EXPECT_THAT([&] { qat_model(network.graph, network.weights); }, ThrowsMessage<Error>(HasSubstr("qat.ranges")));

  train_as_int8(module, network.weights, ranges);
  Weights weights = module.to_weights();
  weights.at("conv.weight").values<float>()[0] = NAN;
  module.load(weights);
  EXPECT_THAT([&] { module.forward(noise({1, 6, 6}, 2, 1)); }, ThrowsMessage<Error>(HasSubstr("not finite")));
  weights = module.to_weights();
  weights["qat.ranges"] = Array(ElementType::float32, {1, 2});
  EXPECT_THROW(module.load(weights), Error);
}

}  // namespace
}  // namespace micromind
