// The layers and networks that the latency model is fitted to and checked with.
#include <algorithm>
#include <functional>

#include "micromind/base/random.h"
#include "micromind/bench/latency_fit.h"
#include "micromind/lower/lower.h"
#include "micromind/networks/mlperf_tiny.h"
#include "micromind/networks/mobilenet.h"
#include "micromind/networks/phinet.h"
#include "micromind/networks/xinet.h"

namespace micromind {
namespace {

constexpr std::int64_t kMostMacs = 1'500'000, kMostElements = 40 * 1024, kMostWeights = 40'000;
constexpr int kTries = 200;

// Sizes as networks have them: widths mostly multiples of 8, images from 32 rows down to 1.
class Draw {
 public:
  Draw(std::uint64_t kind, std::uint64_t index) : random_(3, {kind, index}) {}
  int extent(int least = 3) {
    static constexpr int sizes[] = {3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40};
    int e;
    do e = sizes[random_.below(15)];
    while (e < least);
    return e;
  }
  int channels(int most = 96) {
    const std::uint32_t kind = random_.below(10);
    if (kind < 6) return 8 * static_cast<int>(1 + random_.below(static_cast<std::uint32_t>(most / 8)));
    if (kind < 8) return 4 * static_cast<int>(1 + random_.below(static_cast<std::uint32_t>(most / 4)));
    return static_cast<int>(1 + random_.below(static_cast<std::uint32_t>(most)));
  }
  int pick(std::initializer_list<int> list) {
    return *(list.begin() + random_.below(static_cast<std::uint32_t>(list.size())));
  }
  Shape image(int most = 96, int least = 3) {
    const int c = channels(most), h = extent(least);
    return {c, h, pick({h, h, extent(least)})};
  }

 private:
  Random random_;
};

// Adaptive pooling with a whole ratio, for one, is lowered to average pooling.
bool runs(const Graph& g, const std::string& kernel) {
  const Graph lowered = lower(g).graph;
  return std::any_of(lowered.nodes().begin(), lowered.nodes().end(),
                     [&](const Node& node) { return kernel_of(lowered, node) == kernel; });
}

using Build = std::function<int(Graph&, Draw&)>;

bool small(const Graph& g) {
  std::int64_t macs_sum = 0, weights = 0;
  for (const Node& node : g.nodes()) macs_sum += macs(node.op, g.input_shapes(node), g.output_shapes(node));
  for (const NamedParameter& p : parameters(g)) weights += p.shape.elements();
  for (const Value& v : g.values())
    if (v.type.shape.elements() > kMostElements) return false;
  return macs_sum <= kMostMacs && weights <= kMostWeights;
}

void add(std::vector<LatencyCase>& all, const std::string& kernel, const std::string& variant, int count,
         const Build& build) {
  const std::uint64_t kind = all.size();
  for (int i = 0; i < count; ++i)
    for (std::uint64_t t = 0; t < kTries; ++t) {
      Draw draw(kind, static_cast<std::uint64_t>(i) * kTries + t);
      Graph g("layer");
      g.add_output("out", build(g, draw));
      if (!small(g) || !runs(g, kernel)) continue;
      all.push_back({kernel, variant, std::move(g)});
      break;
    }
}

int convolution(Graph& g, Draw& d, Size kernel, int stride, int groups = 1) {
  const int least = std::max(kernel.h, kernel.w);
  const Shape in = groups == 1 ? d.image(64, std::max(3, least))
                               : Shape{groups * (2 + d.channels(16) / 2), d.extent(), d.extent()};
  Conv2d c;
  c.kernel = kernel;
  c.stride = stride;
  c.groups = groups;
  c.padding = {kernel.h / 2, kernel.h / 2, kernel.w / 2, kernel.w / 2};
  c.out_channels = groups == 1 ? d.channels(64) : groups * (1 + d.channels(16) / 2);
  return g.add(
      "conv", c,
      {g.add_input("image",
                   groups == 1 && d.pick({0, 0, 0, 1}) != 0 ? Shape{d.pick({1, 3}), in[1], in[2]} : in)});
}

int depthwise(Graph& g, Draw& d, Size kernel) {
  const Shape in = d.image(128, std::max({3, kernel.h, kernel.w}));
  Conv2d c;
  c.kernel = kernel;
  c.stride = d.pick({1, 1, 2});
  c.padding = {kernel.h / 2, kernel.h / 2, kernel.w / 2, kernel.w / 2};
  c.out_channels = c.groups = std::max(2, in[0]);
  return g.add("depthwise", c, {g.add_input("image", Shape{c.groups, in[1], in[2]})});
}

void add_convolutions(std::vector<LatencyCase>& all) {
  for (const char* variant : {"pointwise", "single"})
    add(all, "conv2d_s8", variant, 45, [&](Graph& g, Draw& d) {
      const Shape in = variant == std::string("single") ? Shape{d.channels(160), 1, 1} : d.image(96);
      return g.add("conv", Conv2d{.out_channels = d.channels(160)}, {g.add_input("image", in)});
    });
  add(all, "conv2d_s8", "1x1", 18, [](Graph& g, Draw& d) { return convolution(g, d, 1, 2); });
  add(all, "conv2d_s8", "3x3", 48, [](Graph& g, Draw& d) { return convolution(g, d, 3, d.pick({1, 1, 2})); });
  add(all, "conv2d_s8", "5x5", 18, [](Graph& g, Draw& d) { return convolution(g, d, 5, d.pick({1, 2})); });
  add(all, "conv2d_s8", "7x7", 18, [](Graph& g, Draw& d) { return convolution(g, d, 7, d.pick({1, 2})); });
  add(all, "conv2d_s8", "grouped", 24, [](Graph& g, Draw& d) {
    return convolution(g, d, d.pick({1, 3, 3}), d.pick({1, 2}), d.pick({2, 4}));
  });
  add(all, "conv2d_s8", "", 24, [](Graph& g, Draw& d) {
    return convolution(g, d, {d.pick({1, 3, 4, 10}), d.pick({2, 3, 4, 5})}, d.pick({1, 2}));
  });
  add(all, "depthwise_conv2d_s8", "3x3", 48, [](Graph& g, Draw& d) { return depthwise(g, d, 3); });
  add(all, "depthwise_conv2d_s8", "5x5", 24, [](Graph& g, Draw& d) { return depthwise(g, d, 5); });
  add(all, "depthwise_conv2d_s8", "7x7", 12, [](Graph& g, Draw& d) { return depthwise(g, d, 7); });
  add(all, "depthwise_conv2d_s8", "1x1", 12, [](Graph& g, Draw& d) { return depthwise(g, d, 1); });
  add(all, "depthwise_conv2d_s8", "", 18, [](Graph& g, Draw& d) {
    return depthwise(g, d, {d.pick({1, 3}), d.pick({2, 4, 5})});
  });
  add(all, "linear_s8", "", 36, [](Graph& g, Draw& d) {
    const int in = d.channels(640);
    return g.add("linear", Linear{.out_features = d.pick({d.channels(128), 10})},
                 {g.add_input("features", Shape{in})});
  });
}

void add_others(std::vector<LatencyCase>& all) {
  const auto one = [&](const char* kernel, int count, auto&& op_of) {
    add(all, kernel, "", count, [&](Graph& g, Draw& d) {
      const Shape in = d.image();
      return g.add("op", op_of(d, in), {g.add_input("image", in)});
    });
  };
  one("table_s8", 18, [](Draw&, const Shape&) { return Activation{Function::hard_swish}; });
  one("mean_s8", 18, [](Draw&, const Shape&) { return AdaptiveAvgPool2d{1}; });
  one("max_pool2d_s8", 18, [](Draw& d, const Shape&) {
    const int k = d.pick({2, 2, 3});
    return MaxPool2d{.kernel = k, .stride = d.pick({1, k}), .padding = k / 2 * d.pick({0, 1})};
  });
  one("average_pool2d_s8", 18, [](Draw& d, const Shape&) {
    const int k = d.pick({2, 3});
    return AvgPool2d{.kernel = k, .stride = d.pick({1, k})};
  });
  one("adaptive_average_pool2d_s8", 12, [](Draw& d, const Shape& in) {
    return AdaptiveAvgPool2d{{std::max(2, in[1] * d.pick({2, 3}) / 5), std::max(2, in[2] * 2 / 3)}};
  });
  one("upsample_nearest2d_s8", 12, [](Draw& d, const Shape&) { return Upsample{d.pick({2, 2, 3})}; });
  one("pad_s8", 12, [](Draw& d, const Shape&) { return Pad{{d.pick({0, 1}), 1, 1, d.pick({0, 1, 2})}}; });
  add(all, "softmax_s8", "", 12, [](Graph& g, Draw& d) {
    return g.add("softmax", Softmax{}, {g.add_input("logits", Shape{d.channels(128)})});
  });
  add(all, "split_s8", "", 12, [](Graph& g, Draw& d) {
    const Shape in = d.image();
    const int first = std::max(1, in[0] / 3);
    const int x = g.add("split", Split{.axis = 0, .sizes = {first, in[0] + 1 - first}},
                        {g.add_input("image", Shape{in[0] + 1, in[1], in[2]})});
    g.add_output("first", x);
    return x + 1;
  });
  add(all, "concat_s8", "", 15, [](Graph& g, Draw& d) {
    const Shape in = d.image(48);
    std::vector<int> parts = {g.add_input("a", in), g.add_input("b", Shape{d.channels(48), in[1], in[2]})};
    if (d.pick({0, 1}) != 0) parts.push_back(g.add_input("c", in));
    return g.add("concat", Concat{.axis = 0}, parts);
  });
  for (const char* kernel : {"add_s8", "mul_s8"})
    add(all, kernel, "", 15, [&](Graph& g, Draw& d) {
      const Shape in = d.image();
      const int a = g.add_input("a", in), b = g.add_input("b", in);
      return kernel == std::string("mul_s8") ? g.add("op", Multiply{}, {a, b}) : g.add("op", Add{}, {a, b});
    });
  add(all, "mul_s8", "broadcast", 18, [&](Graph& g, Draw& d) {
    const Shape in = d.image();
    const int a = g.add_input("a", in), b = g.add_input("b", Shape{in[0], 1, 1});
    return g.add("op", Multiply{}, {a, b});
  });
}

}  // namespace

std::vector<LatencyCase> latency_cases() {
  std::vector<LatencyCase> all;
  add_convolutions(all);
  add_others(all);
  return all;
}

std::vector<Graph> latency_networks() {
  std::vector<Graph> all;
  const auto named = [&](Graph g, const char* name) {
    g.name = name;
    all.push_back(std::move(g));
  };
  named(phinet({.input = {3, 96, 96}, .alpha = 0.35, .include_top = true}), "phinet 0.35, 96x96");
  named(phinet({.input = {3, 64, 64},
                .alpha = 0.9,
                .beta = 0.5,
                .t_zero = 4,
                .include_top = true,
                .compatibility = true,
                .downsampling_layers = {4, 5, 7},
                .divisor = 8}),
        "phinet 0.9, 64x64, compatible");
  named(xinet({.input = {3, 64, 64}, .alpha = 0.5, .num_classes = 10, .include_top = true}),
        "xinet 0.5, 64x64");
  named(mobilenet_v2({.input = {3, 96, 96}, .alpha = 0.35, .num_classes = 10}), "mobilenet_v2 0.35, 96x96");
  named(mobilenet_v1({}), "mobilenet_v1 0.25 (MLPerf)");
  named(resnet8({}), "resnet8 (MLPerf)");
  named(ds_cnn({}), "ds_cnn (MLPerf)");
  named(autoencoder({}), "autoencoder (MLPerf)");
  return all;
}

}  // namespace micromind
