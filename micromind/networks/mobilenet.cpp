#include "micromind/networks/mobilenet.h"

#include <algorithm>
#include <array>

#include "micromind/base/error.h"
#include "micromind/networks/blocks.h"
#include "micromind/networks/options.h"

namespace micromind {
namespace {

constexpr NormOptions kKerasNorm{1e-3f, 0.01f};  // Keras: momentum 0.99 of the old statistic

template <class Options>
void check(std::string_view family, const Options& o) {
  expect_input(family, o.input);
  if (!(o.alpha > 0)) fail(family, "alpha = {}: expected more than 0", o.alpha);
  expect_range(family, "alpha", o.alpha, 0.0, 100.0);
  expect_range(family, "num_classes", o.num_classes, 1, 1'000'000);
}

Graph build_v1(const MobileNetV1Options& o) {
  struct Stage {
    int filters, stride;
  };
  constexpr std::array<Stage, 13> stages = {{{64, 1}, {128, 2}, {128, 1}, {256, 2}, {256, 1}, {512, 2}, {512, 1},
                                             {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}}};
  Graph g("mobilenet-v1");
  g.reserve(6 * stages.size() + 8);
  const auto width = [&](int filters) { return std::max(1, truncate(filters * o.alpha)); };
  int x = g.add_input("image", o.input);
  x = conv_bn_act(g, "stem", x, {.out_channels = width(32), .kernel = 3, .stride = 2, .padding = same_padding(o.input, 3, 2), .norm = kKerasNorm});
  for (std::size_t i = 0; i < stages.size(); ++i)
    x = separable_conv(g, "blocks." + std::to_string(i), x,
                       {.out_channels = width(stages[i].filters),
                        .stride = stages[i].stride,
                        .padding = same_padding(g.shape(x), 3, stages[i].stride),
                        .norm = kKerasNorm});
  add_top(g, x, o.include_top, o.num_classes);
  return g;
}

struct StageV2 {
  int expansion, filters, repeats, stride;
};
constexpr std::array<StageV2, 7> kStagesV2 = {
    {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}};
constexpr int kSlotsV2 = 1 + 1 + 16 * 2 + 1;  // stem, block 0, the blocks that expand, last

void check_v2(const MobileNetV2Options& o) {
  check("mobilenet-v2", o);
  expect_range("mobilenet-v2", "divisor", o.divisor, 1, 1024);
}

Graph build_v2(const MobileNetV2Options& o, std::span<const int> slots) {
  WidthReader widths("mobilenet-v2", slots, kSlotsV2);
  Graph g("mobilenet-v2");
  g.reserve(9 * 17 + 12);
  int x = g.add_input("image", o.input);
  x = conv_bn_act(g, "stem", x, {.out_channels = widths.next(), .kernel = 3, .stride = 2, .padding = 1, .activation = Function::relu6});
  int index = 0;
  for (const StageV2& stage : kStagesV2)
    for (int i = 0; i < stage.repeats; ++i, ++index) {
      const int expanded = stage.expansion != 1 ? widths.next() : 0;
      x = inverted_residual(
          g, "blocks." + std::to_string(index), x,
          {.out_channels = widths.next(), .expansion = stage.expansion, .expanded = expanded, .stride = i == 0 ? stage.stride : 1});
    }
  x = conv_bn_act(g, "last", x, {.out_channels = widths.next(), .activation = Function::relu6});
  if (!o.include_top) {
    g.add_output("features", x);
    return g;
  }
  x = g.add("head.pool", AdaptiveAvgPool2d{}, {x});
  x = g.add("head.flatten", Flatten{}, {x});
  x = g.add("head.dropout", Dropout{.p = 0.2f}, {x});
  g.add_output("logits", g.add("classifier", Linear{.out_features = o.num_classes}, {x}));
  return g;
}

}  // namespace

Graph mobilenet_v1(const MobileNetV1Options& options) {
  check("mobilenet-v1", options);
  return build_family("mobilenet-v1", options.input, [&] { return build_v1(options); });
}

std::vector<int> mobilenet_v2_widths(const MobileNetV2Options& o) {
  check_v2(o);
  const auto width = [&](double filters) { return make_divisible(filters, o.divisor); };
  std::vector<int> widths = {width(32 * o.alpha)};
  widths.reserve(kSlotsV2);
  for (const StageV2& stage : kStagesV2)
    for (int i = 0; i < stage.repeats; ++i) {
      if (stage.expansion != 1) widths.push_back(widths.back() * stage.expansion);
      widths.push_back(width(stage.filters * o.alpha));
    }
  widths.push_back(width(1280 * std::max(1.0, o.alpha)));
  return widths;
}

Graph mobilenet_v2_with_widths(const MobileNetV2Options& options, std::span<const int> widths) {
  check_v2(options);
  return build_family("mobilenet-v2", options.input, [&] { return build_v2(options, widths); });
}

Graph mobilenet_v2(const MobileNetV2Options& options) {
  return build_family("mobilenet-v2", options.input, [&] { return mobilenet_v2_with_widths(options, mobilenet_v2_widths(options)); });
}

}  // namespace micromind
