// Models for the tests of file formats: int8 and float ones that hold every operator.
#pragma once

#include <cmath>
#include <functional>
#include <string>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/graph/model.h"
#include "error_of.h"

namespace micromind {

/// Adds nodes with a scale and zero point, and random int8 weights, without a quantiser.
class Int8Builder {
 public:
  explicit Int8Builder(std::string name) { model.graph.name = std::move(name); }

  int input(const std::string& name, const Shape& shape, Quantization q) {
    return model.graph.add_input(name, TensorType{shape, ElementType::int8, q});
  }

  /// All outputs get `q`.
  int add(const std::string& name, Op op, std::vector<int> inputs, Quantization q) {
    const int v = model.graph.add(name, std::move(op), std::move(inputs));
    const Node node = model.graph.nodes().back();
    for (const int o : node.outputs) model.graph.type(o).quantization = q;
    if (const auto* conv = std::get_if<Conv2d>(&node.op)) {
      const Shape image = model.graph.shape(node.inputs[0]);
      weights(name, conv->depthwise(image) ? Shape{1, conv->kernel.h, conv->kernel.w, conv->out_channels}
                                           : Shape{conv->out_channels, conv->kernel.h, conv->kernel.w, image[0] / conv->groups},
              conv->out_channels, conv->out_channels);
    } else if (const auto* linear = std::get_if<Linear>(&node.op)) {
      weights(name, {linear->out_features, model.graph.shape(node.inputs[0])[0]}, linear->out_features, per_channel_linear ? linear->out_features : 1);
    }
    return v;
  }

  Model model;
  bool per_channel_linear = false;

 private:
  void weights(const std::string& name, const Shape& shape, std::int32_t channels, std::int32_t scales) {
    Array weight(ElementType::int8, shape), bias(ElementType::int32, {channels});
    for (std::int8_t& w : weight.values<std::int8_t>()) w = static_cast<std::int8_t>(static_cast<int>(random_.below(255)) - 127);
    for (std::int32_t& b : bias.values<std::int32_t>()) b = static_cast<std::int32_t>(random_.below(4001)) - 2000;
    for (std::int32_t s = 0; s < scales; ++s) weight.scales.push_back(random_.uniform(0.001f, 0.01f));
    model.weights[name + ".weight"] = std::move(weight);
    model.weights[name + ".bias"] = std::move(bias);
  }
  Random random_{5};
};

constexpr Quantization kUnit = {1.0f / 256, -128};

/// Every operator that an int8 graph can hold, every padding form, every activation with a TFLite operator.
inline Model every_int8_operator() {
  Int8Builder b("every");
  const Quantization a = {0.05f, -3}, c = {0.031f, 7}, d = {0.11f, -128};
  const int image = b.input("image", {3, 20, 18}, a);
  int x = b.add("stem.same", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1, .activation = Function::relu}, {image}, d);
  x = b.add("stem.torch_padding", Conv2d{.out_channels = 12, .kernel = {3, 5}, .stride = 2, .padding = {1, 1, 2, 2}}, {x}, c);  // 10×9
  x = b.add("act.hard_swish", Activation{Function::hard_swish}, {x}, a);
  x = b.add("act.silu", Activation{Function::silu}, {x}, c);
  x = b.add("act.relu", Activation{Function::relu}, {x}, c);
  x = b.add("act.relu6", Activation{Function::relu6}, {x}, d);
  const int skip = x;
  x = b.add("depthwise", Conv2d{.out_channels = 12, .kernel = 3, .padding = 1, .groups = 12, .activation = Function::relu6}, {x}, c);
  x = b.add("multiplier", Conv2d{.out_channels = 24, .kernel = 3, .dilation = 2, .padding = 2, .groups = 12}, {x}, a);
  x = b.add("grouped", Conv2d{.out_channels = 12, .kernel = 1, .groups = 4}, {x}, c);
  int s = b.add("se.pool", AdaptiveAvgPool2d{}, {x}, a);
  s = b.add("se.conv", Conv2d{.out_channels = 12}, {s}, d);
  s = b.add("se.gate", Activation{Function::sigmoid}, {s}, kUnit);
  x = b.add("se.scale", Multiply{}, {x, s}, c);
  x = b.add("residual", Add{Function::relu}, {x, skip}, d);
  const int thirds = b.add("thirds", Split{.axis = 0, .sizes = {4, 4, 4}}, {x}, d);
  const int parts = b.add("parts", Split{.axis = 1, .sizes = {3, 7}}, {x}, d);
  x = b.add("joined", Concat{.axis = 1}, {parts + 1, parts}, d);
  x = b.add("more", Concat{.axis = 0}, {x, thirds, thirds + 2}, d);  // 20×10×9
  x = b.add("up", Upsample{{2, 1}}, {x}, d);                        // 20×20×9
  x = b.add("max.same", MaxPool2d{.kernel = 3, .stride = 1, .padding = 1}, {x}, d);
  x = b.add("max.torch_padding", MaxPool2d{.kernel = 3, .stride = 2, .padding = {1, 1, 1, 1}}, {x}, d);  // 10×5
  x = b.add("requantize", Requantize{}, {x}, c);
  x = b.add("avg.same", AvgPool2d{.kernel = 3, .stride = 1, .padding = 1}, {x}, c);
  x = b.add("avg.valid", AvgPool2d{.kernel = {2, 1}, .stride = {2, 1}}, {x}, c);  // 20×5×5
  x = b.add("padded", Pad{{0, 1, 1, 1}}, {x}, c);                                 // 6×7
  const int features = x;
  x = b.add("uneven", AdaptiveAvgPool2d{.output = {4, 3}}, {x}, c);
  x = b.add("flat", Flatten{}, {x}, c);
  x = b.add("hidden", Linear{.out_features = 16, .activation = Function::relu6}, {x}, d);
  b.per_channel_linear = true;
  x = b.add("classifier", Linear{.out_features = 10}, {x}, a);
  x = b.add("softmax", Softmax{}, {x}, kUnit);
  b.model.graph.add_output("probabilities", x);
  b.model.graph.add_output("features", features);
  return std::move(b.model);
}

/// Gives every parameter of a float graph random values; variances are positive.
inline Weights random_weights(const Graph& graph, std::uint64_t seed = 9) {
  Weights weights;
  Random random(seed);
  for (const NamedParameter& p : parameters(graph)) {
    Array array(ElementType::float32, p.shape);
    for (float& v : array.values<float>()) v = p.name.ends_with("running_var") ? random.uniform(0.5f, 2) : 0.3f * random.normal();
    weights.emplace(p.name, std::move(array));
  }
  return weights;
}

}  // namespace micromind
