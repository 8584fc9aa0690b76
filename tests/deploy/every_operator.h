// An int8 model that holds every operator, fused or not, with awkward names; weights and quantisations are
// random.
#pragma once

#include <vector>

#include "micromind/base/random.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/quantize.h"

namespace micromind {

inline Model quantize_randomly(const Graph& g, std::uint64_t seed) {
  Weights weights;
  std::uint64_t index = 0;
  for (const NamedParameter& p : parameters(g)) {
    Random random(seed, {++index});
    Array array(ElementType::float32, p.shape);
    for (float& x : array.values<float>())
      x = p.name.ends_with("running_var") ? random.uniform(0.5f, 2) : random.normal() * 0.3f;
    weights[p.name] = array;
  }
  std::vector<Range> ranges(g.values().size());
  for (std::size_t v = 0; v < ranges.size(); ++v) {
    Random random(seed, {1000, v});
    ranges[v] = {-random.uniform(0.5f, 4), random.uniform(0.5f, 4)};
  }
  return quantize(g, lower(g), weights, ranges);
}

inline Model every_operator(std::uint64_t seed = 1) {
  Graph g(
      "every operator */ \"x\" \\ ?"
      "?/");
  const int image = g.add_input("image", Shape{3, 13, 11});
  const int second = g.add_input("int", Shape{8, 7, 6});
  int x = g.add("conv.stem", Conv2d{.out_channels = 8, .kernel = 3, .stride = 2, .padding = 1, .bias = false},
                {image});
  x = g.add("conv.stem.norm", BatchNorm{}, {x});
  x = g.add("conv_stem", Activation{Function::relu6}, {x});  // fused; its name meets another
  const int stem = x;
  x = g.add("mm_conv2d_s8", Conv2d{.out_channels = 12}, {x});  // pointwise, the name of a kernel
  x = g.add("swish", Activation{Function::hard_swish}, {x});
  x = g.add("depthwise", Conv2d{.out_channels = 12, .kernel = {3, 5}, .padding = {1, 1, 2, 2}, .groups = 12},
            {x});
  const int wide = x;
  int gate = g.add("squeeze", AdaptiveAvgPool2d{1}, {x});
  gate = g.add("squeeze.reduce", Conv2d{.out_channels = 5}, {gate});
  gate = g.add("squeeze.relu", Activation{Function::relu}, {gate});
  gate = g.add("squeeze.expand", Conv2d{.out_channels = 12}, {gate});
  gate = g.add("gate", Activation{Function::hard_sigmoid}, {gate});
  x = g.add("scale", Multiply{}, {wide, gate});
  x = g.add("project*/", Conv2d{.out_channels = 8, .kernel = 3, .dilation = 2, .padding = 2, .groups = 4},
            {x});
  x = g.add("residual", Add{}, {x, stem});
  x = g.add("residual.relu", Activation{Function::relu}, {x});
  x = g.add("residual.two", Add{}, {x, second});
  const int parts = g.add("split", Split{.axis = 0, .sizes = {3, 5}}, {x});
  const int a = g.add("a.silu", Activation{Function::silu}, {parts});
  const int b = g.add("b.sigmoid", Activation{Function::sigmoid}, {parts + 1});
  x = g.add("1.concat", Concat{.axis = 0}, {a, b});  // requantises b
  const int padded = g.add("pad", Pad{{1, 2, 0, 3}}, {x});
  const int pooled = g.add("max", MaxPool2d{.kernel = 3, .stride = 2, .padding = 1}, {padded});
  const int up = g.add("up", Upsample{2}, {pooled});
  const int tall = g.add("tall", Concat{.axis = 1}, {up, up});
  const int average = g.add("average", AvgPool2d{.kernel = {3, 2}, .stride = 2, .padding = 1}, {tall});
  const int adaptive = g.add("adaptive", AdaptiveAvgPool2d{{3, 4}}, {average});
  const int pieces = g.add("pieces", Split{.axis = 2, .sizes = {1, 3}}, {adaptive});
  const int flat = g.add("flatten", Flatten{}, {pieces + 1});
  x = g.add("dropout", Dropout{}, {flat});
  x = g.add("head.hidden", Linear{.out_features = 19}, {x});
  x = g.add("head.hidden.norm", BatchNorm{}, {x});
  x = g.add("head.hidden.relu", Activation{Function::relu}, {x});
  const int logits = g.add("head", Linear{.out_features = 10}, {x});
  const int softmax = g.add("softmax", Softmax{}, {logits});
  const int norm = g.add("alone", BatchNorm{}, {pieces});
  g.add_output("probabilities", softmax);
  g.add_output("Logits", logits);
  g.add_output("logits", norm);
  return quantize_randomly(g, seed);
}

inline std::vector<std::vector<std::int8_t>> random_inputs(const Model& model, std::size_t count,
                                                           std::uint64_t seed = 7) {
  std::int64_t bytes = 0;
  for (const Port& p : model.graph.inputs()) bytes += model.graph.shape(p.value).elements();
  std::vector<std::vector<std::int8_t>> inputs(count);
  for (std::size_t i = 0; i < count; ++i) {
    Random random(seed, {i});
    for (std::int64_t k = 0; k < bytes; ++k)
      inputs[i].push_back(static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128));
  }
  return inputs;
}

}  // namespace micromind
