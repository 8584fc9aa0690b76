// What is done to a float network before and after it is quantised: folding, equalisation, bias correction.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/networks/mobilenet.h"
#include "micromind/networks/phinet.h"
#include "micromind/quantize/bias_correction.h"
#include "micromind/quantize/equalize.h"
#include "micromind/quantize/execute.h"
#include "micromind/quantize/executor.h"
#include "micromind/quantize/folded_network.h"
#include "micromind/quantize/quantize.h"
#include "micromind/reference/reference.h"

namespace micromind {
namespace {

Weights random_weights(const Graph& graph, std::uint64_t seed) {
  Weights weights;
  for (const NamedParameter& p : parameters(graph)) {
    Random random(seed, {std::hash<std::string>{}(p.name)});
    Array array(ElementType::float32, p.shape);
    const auto fan = static_cast<float>(p.shape.elements() / p.shape[0]);
    for (float& x : array.values<float>())
      x = p.name.ends_with("running_var") ? random.uniform(0.5f, 2) : p.shape.rank() == 1 ? 0.2f * random.normal() : random.normal() * std::sqrt(2 / fan);
    weights[p.name] = array;
  }
  return weights;
}

std::vector<Array> images(const Shape& shape, int count, std::uint64_t seed) {
  std::vector<Array> list;
  Random random(seed);
  for (int i = 0; i < count; ++i) {
    Array image(ElementType::float32, shape);
    for (float& x : image.values<float>()) x = random.normal();
    list.push_back(image);
  }
  return list;
}

// Outputs of the float network, one image after another.
std::vector<float> float_outputs(const Graph& graph, const Weights& weights, const std::vector<Array>& images, const ReferenceObserver& observer = {}) {
  const ReferenceExecutor executor(graph, weights);
  std::vector<float> all;
  for (const Array& image : images) {
    const Arrays out = executor.run({{graph.inputs()[0].name, image}}, observer);
    const auto values = out.begin()->second.values<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

std::vector<float> int8_outputs(const Model& model, const std::vector<Array>& images) {
  Int8Executor executor(model);
  std::vector<float> all;
  for (const Array& image : images) {
    executor.set_input(0, image.values<float>());
    executor.run();
    const std::vector<float> out = executor.output_as_float(0);
    all.insert(all.end(), out.begin(), out.end());
  }
  return all;
}

double largest(const std::vector<float>& a) {
  double most = 0;
  for (const float x : a) most = std::max(most, std::fabs(static_cast<double>(x)));
  return most;
}
double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(static_cast<double>(a[i]) - b[i]));
  return most;
}
double rms(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

std::vector<Range> calibrated(const FoldedNetwork& network, const std::vector<Array>& images) {
  Calibrator calibrator(network.graph.values().size());
  float_outputs(network.graph, network.weights, images, calibrator.observer());
  return calibrator.ranges({.method = CalibrationMethod::minmax});
}

// conv → f → depthwise → f → conv → f → mean → linear
Graph chain(Function f) {
  Graph g("chain");
  int x = g.add_input("image", {3, 10, 10});
  x = g.add("expand", Conv2d{.out_channels = 16}, {x});
  x = g.add("f1", Activation{f}, {x});
  x = g.add("depthwise", Conv2d{.out_channels = 16, .kernel = 3, .padding = 1, .groups = 16}, {x});
  x = g.add("f2", Activation{f}, {x});
  x = g.add("project", Conv2d{.out_channels = 12}, {x});
  x = g.add("f3", Activation{f}, {x});
  x = g.add("mean", AdaptiveAvgPool2d{.output = 1}, {x});
  x = g.add("flatten", Flatten{}, {x});
  g.add_output("scores", g.add("classifier", Linear{.out_features = 6}, {x}));
  return g;
}

// The same function with channels of very different size between its layers.
void skew(FoldedNetwork& network, float spread) {
  Random random(77);
  const auto w = [&](const std::string& name) { return network.weights.at(name).values<float>(); };
  for (std::size_t c = 0; c < 16; ++c) {
    const float s = std::exp(spread * random.normal()), t = std::exp(spread * random.normal());
    for (std::size_t i = 0; i < 3; ++i) w("expand.weight")[c * 3 + i] *= s;
    w("expand.bias")[c] *= s;
    for (std::size_t k = 0; k < 9; ++k) w("depthwise.weight")[c * 9 + k] *= t / s;
    w("depthwise.bias")[c] *= t;
    for (std::size_t o = 0; o < 12; ++o) w("project.weight")[o * 16 + c] /= t;
  }
}

TEST(FoldedNetwork, QuantisesToTheBytesOfTheNetworkItself) {
  for (const Graph& g : {phinet({.input = {3, 24, 24}, .num_layers = 5, .include_top = true}), mobilenet_v1({.input = {3, 32, 32}, .alpha = 0.25})}) {
    SCOPED_TRACE(g.name);
    const Weights weights = random_weights(g, 4);
    const FoldedNetwork folded = fold_network(g, weights);
    for (const Node& n : folded.graph.nodes())
      EXPECT_FALSE(std::holds_alternative<BatchNorm>(n.op) || std::holds_alternative<Dropout>(n.op)) << n.name;
    const auto input = images(g.shape(0), 2, 1);
    const std::vector<float> expected = float_outputs(g, weights, input);
    EXPECT_LT(largest_difference(float_outputs(folded.graph, folded.weights, input), expected), 1e-4 * std::max(1.0, largest(expected)));
    const std::vector<Range> a(g.values().size(), Range{-3, 4}), b(folded.graph.values().size(), Range{-3, 4});
    const Model whole = quantize(g, lower(g), weights, a), parts = quantize(folded.graph, lower(folded.graph), folded.weights, b);
    EXPECT_EQ(whole.weights, parts.weights);
    EXPECT_EQ(whole.graph.nodes().size(), parts.graph.nodes().size());
  }
}

TEST(Kernels, EveryInstructionSetGivesTheSameBytes) {
  const Graph g = phinet({.input = {3, 32, 32}, .num_layers = 5, .alpha = 0.7, .include_top = true, .conv5_percent = 0.5});
  const FoldedNetwork folded = fold_network(g, random_weights(g, 4));
  const auto input = images(g.shape(0), 3, 1);
  const Model model = quantize(folded.graph, lower(folded.graph), folded.weights, calibrated(folded, input));
  const std::vector<const KernelTable*> tables = all_kernel_tables();
  use_kernel_table(*tables.back());
  const std::vector<float> plain = int8_outputs(model, input);
  for (const KernelTable* table : tables) {
    use_kernel_table(*table);
    EXPECT_EQ(int8_outputs(model, input), plain) << table->name;
  }
  use_kernel_table(*tables.front());
}

TEST(Equalize, KeepsTheFunctionAndMendsSkewedChannels) {
  FoldedNetwork network{chain(Function::relu), random_weights(chain(Function::relu), 3)};
  const auto seen = images({3, 10, 10}, 24, 5);
  const std::vector<float> expected = float_outputs(network.graph, network.weights, seen);
  const auto error = [&](const FoldedNetwork& n) {
    return rms(int8_outputs(quantize(n.graph, lower(n.graph), n.weights, calibrated(n, seen)), seen), expected);
  };
  const double sound = error(network);
  skew(network, 2.5f);
  EXPECT_LT(largest_difference(float_outputs(network.graph, network.weights, seen), expected), 1e-4 * largest(expected));
  const double skewed = error(network);
  FoldedNetwork equal = network;
  const Equalization e = equalize(equal);
  EXPECT_EQ(e.pairs, 3);
  EXPECT_LT(e.sweeps, 20);
  EXPECT_LT(largest_difference(float_outputs(equal.graph, equal.weights, seen), float_outputs(network.graph, network.weights, seen)), 1e-5 * largest(expected));
  const double mended = error(equal);
  RecordProperty("rms", fmt::format("sound {:.5f}, skewed {:.5f}, equalised {:.5f}", sound, skewed, mended));
  EXPECT_GT(skewed, 4 * sound) << "the skew does no harm, the test shows nothing";
  EXPECT_LT(mended, 2 * sound);
  EXPECT_LT(mended, 0.3 * skewed);
}

TEST(Equalize, LeavesWhatIsNotHomogeneous) {
  for (const Function f : {Function::hard_swish, Function::silu, Function::relu6}) {
    FoldedNetwork network{chain(f), random_weights(chain(f), 3)};
    const Weights before = network.weights;
    EXPECT_EQ(equalize(network).pairs, 0);
    EXPECT_EQ(network.weights, before);
  }
  Graph g("read twice");
  const int x = g.add("a", Conv2d{.out_channels = 4}, {g.add_input("image", {3, 4, 4})});
  g.add_output("out", g.add("sum", Add{}, {g.add("b", Conv2d{.out_channels = 4}, {x}), x}));
  FoldedNetwork network{g, random_weights(g, 1)};
  EXPECT_EQ(equalize(network).pairs, 0);
}

TEST(Equalize, TakesRelu6AsFarAsItsCapAllows) {
  FoldedNetwork network{chain(Function::relu6), random_weights(chain(Function::relu6), 3)};
  skew(network, 1);  // changes the function: some channels are clipped now
  const auto seen = images({3, 10, 10}, 12, 5);
  const std::vector<float> expected = float_outputs(network.graph, network.weights, seen);
  ChannelMaxima maxima(network.graph);
  float_outputs(network.graph, network.weights, seen, [&](int v, std::span<const float> x) { maxima.observe(v, x); });
  const Weights before = network.weights;
  const Equalization e = equalize(network, &maxima);
  EXPECT_EQ(e.relu6_pairs, 3);
  EXPECT_NE(network.weights, before);
  EXPECT_LT(largest_difference(float_outputs(network.graph, network.weights, seen), expected), 1e-5 * largest(expected));
}

TEST(BiasCorrection, TakesTheMeanShiftOff) {
  // Few bits of range for the inputs of each layer: rounding shifts the means.
  Graph g("shifted");
  int x = g.add_input("image", {3, 9, 9});
  x = g.add("a", Conv2d{.out_channels = 8, .kernel = 3, .stride = 2, .padding = {1, 2, 0, 1}}, {x});
  x = g.add("f", Activation{Function::hard_swish}, {x});
  x = g.add("b", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1, .groups = 8}, {x});
  x = g.add("c", Conv2d{.out_channels = 6, .kernel = 1, .groups = 2}, {x});
  x = g.add("flatten", Flatten{}, {x});
  g.add_output("scores", g.add("classifier", Linear{.out_features = 4}, {x}));
  FoldedNetwork network{g, random_weights(g, 8)};
  const auto seen = images({3, 9, 9}, 64, 5);
  std::vector<Range> ranges = calibrated(network, seen);
  for (Range& r : ranges) r = {std::max(-0.8f, r.min * 0.3f), r.max * 0.5f};  // clips one side more than the other
  ranges.back() = calibrated(network, seen).back();
  Model model = quantize(g, lower(g), network.weights, ranges);
  const std::vector<float> expected = float_outputs(g, network.weights, seen);
  const auto mean_error = [&](const std::vector<float>& out) {
    std::vector<double> means(4, 0);
    for (std::size_t i = 0; i < out.size(); ++i) means[i % 4] += (static_cast<double>(out[i]) - expected[i]) / static_cast<double>(seen.size());
    double most = 0;
    for (const double m : means) most = std::max(most, std::fabs(m));
    return most;
  };
  const double before = mean_error(int8_outputs(model, seen)), error_before = rms(int8_outputs(model, seen), expected);
  BiasCorrection correction(network);
  float_outputs(g, network.weights, seen, [&](int v, std::span<const float> numbers) { correction.observe(v, numbers); });
  std::vector<std::vector<std::int8_t>> inputs;
  for (const Array& image : seen) inputs.push_back(quantize_image(image.values<float>(), model.graph.type(0)));
  Model one_thread = model;
  EXPECT_GT(correction.correct(model, inputs, 2), 0);
  correction.correct(one_thread, inputs, 1);
  EXPECT_EQ(model.weights, one_thread.weights);
  const double step = model.graph.type(model.graph.outputs()[0].value).quantization->scale;
  EXPECT_GT(before, 5 * step) << "nothing to correct, the test shows nothing";
  EXPECT_LT(mean_error(int8_outputs(model, seen)), 1.0 * step);
  EXPECT_LT(rms(int8_outputs(model, seen), expected), error_before);
}

TEST(BiasCorrection, RefusesOtherImages) {
  FoldedNetwork network{chain(Function::relu), random_weights(chain(Function::relu), 3)};
  const auto seen = images({3, 10, 10}, 2, 5);
  Model model = quantize(network.graph, lower(network.graph), network.weights, calibrated(network, seen));
  BiasCorrection correction(network);
  const std::vector<std::vector<std::int8_t>> inputs(2, std::vector<std::int8_t>(300));
  EXPECT_THROW(correction.correct(model, inputs), Error) << "nothing was observed";
  float_outputs(network.graph, network.weights, seen, [&](int v, std::span<const float> x) { correction.observe(v, x); });
  EXPECT_THROW(correction.correct(model, std::vector<std::vector<std::int8_t>>(2, std::vector<std::int8_t>(299))), Error);
  EXPECT_THROW(correction.correct(model, std::vector<std::vector<std::int8_t>>(3, std::vector<std::int8_t>(300))), Error);
  EXPECT_THROW(correction.observe(0, std::vector<float>(7)), Error);
  correction.correct(model, inputs);
}

}  // namespace
}  // namespace micromind
