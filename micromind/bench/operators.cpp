#include "micromind/bench/operators.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cost/count.h"
#include "micromind/networks/blocks.h"

namespace micromind {
namespace {

constexpr std::int64_t kMostTensor = 64 * 1024, kMostWeights = 256 * 1024;
constexpr int kMostChannels = 16384;

struct Recipe {
  OperatorInfo info;
  int step;
  std::function<int(Graph&, int x, int channels)> build;
};

Conv2d conv(int channels, Size kernel, Padding padding, int groups = 1) {
  Conv2d c;
  c.out_channels = channels;
  c.kernel = kernel;
  c.padding = padding;
  c.groups = groups;
  return c;
}

int with(Graph& g, Conv2d c, int x, const char* name = "conv") {
  return g.add(name, c, {x});
}

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all = {
      {{"standard", "standard 3×3", "3×3 convolution"},
       4,
       [](Graph& g, int x, int c) { return with(g, conv(c, 3, 1), x); }},
      {{"grouped", "grouped (4)", "3×3 convolution in 4 groups"},
       4,
       [](Graph& g, int x, int c) { return with(g, conv(c, 3, 1, 4), x); }},
      {{"depthwise", "depthwise 3×3", "3×3 convolution of each channel by itself"},
       4,
       [](Graph& g, int x, int c) { return with(g, conv(c, 3, 1, c), x); }},
      {{"pointwise", "pointwise", "1×1 convolution"},
       4,
       [](Graph& g, int x, int c) { return with(g, conv(c, 1, 0), x); }},
      {{"separable", "depthwise-separable", "depthwise 3×3, then pointwise"},
       4,
       [](Graph& g, int x, int c) {
         return with(g, conv(c, 1, 0), with(g, conv(c, 3, 1, c), x, "depthwise"), "pointwise");
       }},
      {{"dilated", "dilated (2)", "3×3 convolution with dilation 2"},
       4,
       [](Graph& g, int x, int c) {
         Conv2d op = conv(c, 3, 2);
         op.dilation = 2;
         return with(g, op, x);
       }},
      {{"strided", "strided (2)", "3×3 convolution with stride 2"},
       4,
       [](Graph& g, int x, int c) {
         Conv2d op = conv(c, 3, 1);
         op.stride = 2;
         return with(g, op, x);
       }},
      {{"asymmetric", "1×3 then 3×1", "1×3 convolution, then 3×1"},
       4,
       [](Graph& g, int x, int c) {
         return with(g, conv(c, {3, 1}, {1, 1, 0, 0}), with(g, conv(c, {1, 3}, {0, 0, 1, 1}), x, "across"),
                     "down");
       }},
      {{"linear", "linear", "fully connected layer"},
       4,
       [](Graph& g, int x, int c) { return g.add("linear", Linear{.out_features = c}, {x}); }},
      {{"xi_conv", "XiConv", "XiNet's convolution: compression 4, attention, SiLU, no broadcast input"},
       8,
       [](Graph& g, int x, int c) { return xi_conv(g, "block", x, {.out_channels = c, .gamma = 4}); }},
      {{"phinet_block", "PhiNet block", "expansion 6, depthwise 3×3, squeeze-and-excite, h-swish, residual"},
       4,
       [](Graph& g, int x, int c) {
         return phinet_block(g, "block", x,
                             {.out_channels = c, .expanded = 6 * c, .squeezed = std::max(1, c)});
       }},
      {{"inverted_residual", "inverted residual",
        "MobileNetV2's block: expansion 6, depthwise 3×3, ReLU6, residual"},
       4,
       [](Graph& g, int x, int c) {
         return inverted_residual(g, "block", x, {.out_channels = c, .expansion = 6});
       }},
      {{"residual_block", "residual block", "two 3×3 convolutions, residual, ReLU"},
       4,
       [](Graph& g, int x, int c) { return residual_block(g, "block", x, {.out_channels = c}); }},
  };
  return all;
}

OperatorCase build(const Recipe& recipe, const OperatorSize& size, int channels) {
  OperatorCase c{recipe.info.name, size, channels, 0, Graph(recipe.info.name)};
  const bool vector = recipe.info.name == "linear";
  const int x =
      c.graph.add_input("image", vector ? Shape{channels} : Shape{channels, size.height, size.width});
  c.graph.add_output("features", recipe.build(c.graph, x, channels));
  c.macs = count_macs(c.graph);
  return c;
}

bool within_limits(const Graph& g) {
  std::int64_t weights = 0;
  for (const NamedParameter& p : parameters(g)) weights += p.shape.elements();
  if (weights > kMostWeights) return false;
  return std::all_of(g.values().begin(), g.values().end(),
                     [](const Value& v) { return v.type.shape.elements() <= kMostTensor; });
}

}  // namespace

std::string OperatorSize::text() const {
  return fmt::format("{}x{}x{}", height, width, channels);
}

OperatorSize parse_operator_size(std::string_view text) {
  OperatorSize size;
  const char *at = text.data(), *const end = at + text.size();
  bool good = true;
  for (int* part : {&size.height, &size.width, &size.channels}) {
    if (part != &size.height) good = good && at != end && *at++ == 'x';
    const auto [rest, error] = std::from_chars(at, end, *part);
    good = good && error == std::errc{} && *part >= 1 && *part <= 512;
    at = rest;
    if (!good) break;
  }
  if (!good || at != end || size.channels % 4 != 0)
    fail("bench",
         "size '{}': expected height, width and channels such as 16x16x24, 1 to 512 each, channels a "
         "multiple of 4",
         text);
  return size;
}

const std::vector<OperatorInfo>& efficiency_operators() {
  static const std::vector<OperatorInfo> list = [] {
    std::vector<OperatorInfo> infos;
    for (const Recipe& r : recipes()) infos.push_back(r.info);
    return infos;
  }();
  return list;
}

OperatorCase operator_case(const std::string& name, const OperatorSize& size) {
  const auto found =
      std::find_if(recipes().begin(), recipes().end(), [&](const Recipe& r) { return r.info.name == name; });
  if (found == recipes().end()) {
    std::vector<std::string> names;
    for (const Recipe& r : recipes()) names.push_back(r.info.name);
    fail_with_hint("bench", name_hint(name, names), "unknown operator '{}'", name);
  }
  if (name == "standard") return build(*found, size, size.channels);
  const auto wanted = std::int64_t{9} * size.channels * size.channels * size.height * size.width;
  // MACs grow with the channels: the last that has too few, and the next.
  int low = found->step;
  for (int high = kMostChannels / found->step; (high - low / found->step) > 1;) {
    const int middle = (low / found->step + high) / 2 * found->step;
    const OperatorCase c = build(*found, size, middle);
    if (c.macs <= wanted && within_limits(c.graph))
      low = middle;
    else
      high = middle / found->step;
  }
  OperatorCase best = build(*found, size, low);
  OperatorCase next = build(*found, size, low + found->step);
  if (within_limits(next.graph) && std::abs(next.macs - wanted) < std::abs(best.macs - wanted)) return next;
  return best;
}

std::vector<OperatorCase> operator_cases(const std::vector<OperatorSize>& sizes) {
  std::vector<OperatorCase> cases;
  for (const OperatorSize& size : sizes)
    for (const OperatorInfo& op : efficiency_operators()) cases.push_back(operator_case(op.name, size));
  return cases;
}

const std::vector<OperatorSize>& default_operator_sizes() {
  static const std::vector<OperatorSize> sizes = {{32, 32, 8}, {24, 24, 16}, {16, 16, 24}, {8, 8, 48}};
  return sizes;
}

}  // namespace micromind
