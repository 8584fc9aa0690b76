#include "micromind/networks/efficientnet.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "micromind/networks/blocks.h"
#include "micromind/networks/options.h"

namespace micromind {
namespace {

constexpr std::string_view kFamily = "efficientnet";
constexpr NormOptions kNorm{1e-3f, 0.01f};  // the released code: momentum 0.99 of the old statistic
constexpr int kStemFilters = 32, kLastFilters = 1280, kSqueeze = 4;

struct Stage {
  int expansion, kernel, stride, filters, repeats;
};
constexpr std::array<Stage, 7> kStages = {
    {{1, 3, 1, 16, 1}, {6, 3, 2, 24, 2}, {6, 5, 2, 40, 2}, {6, 3, 2, 80, 3}, {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4}, {6, 3, 1, 320, 1}}};

void check(const EfficientNetOptions& o) {
  expect_input(kFamily, o.input);
  if (!(o.width > 0)) fail(kFamily, "width = {}: expected more than 0", o.width);
  expect_range(kFamily, "width", o.width, 0.0, 100.0);
  if (!(o.depth > 0)) fail(kFamily, "depth = {}: expected more than 0", o.depth);
  expect_range(kFamily, "depth", o.depth, 0.0, 20.0);
  expect_range(kFamily, "num_classes", o.num_classes, 1, 1'000'000);
  expect_range(kFamily, "divisor", o.divisor, 1, 1024);
  if (!(o.dropout >= 0 && o.dropout < 1)) fail(kFamily, "dropout = {}: expected 0 to less than 1", o.dropout);
}

int repeats(const EfficientNetOptions& o, const Stage& stage) { return truncate(std::ceil(o.depth * stage.repeats)); }

int block_count(const EfficientNetOptions& o) {
  int count = 0;
  for (const Stage& stage : kStages) count += repeats(o, stage);
  return count;
}

int slot_count(const EfficientNetOptions& o) {
  int count = 2;  // stem, last
  for (const Stage& stage : kStages) count += repeats(o, stage) * (stage.expansion != 1 ? 3 : 2);
  return count;
}

Graph build(const EfficientNetOptions& o, std::span<const int> slots) {
  WidthReader widths(kFamily, slots, slot_count(o));
  Graph g{std::string(kFamily)};
  g.reserve(static_cast<std::size_t>(15 * block_count(o) + 12));
  int x = g.add_input("image", o.input);
  x = conv_bn_act(g, "stem", x,
                  {.out_channels = widths.next(), .kernel = 3, .stride = 2, .padding = same_padding(o.input, 3, 2), .norm = kNorm,
                   .activation = Function::silu});
  int index = 0;
  for (const Stage& stage : kStages)
    for (int i = 0; i < repeats(o, stage); ++i, ++index) {
      InvertedResidualOptions block{.expansion = stage.expansion, .kernel = stage.kernel, .stride = i == 0 ? stage.stride : 1,
                                    .same = true, .activation = Function::silu, .norm = kNorm};
      if (stage.expansion != 1) block.expanded = widths.next();
      block.squeezed = widths.next();
      block.out_channels = widths.next();
      x = inverted_residual(g, "blocks." + std::to_string(index), x, block);
    }
  x = conv_bn_act(g, "last", x, {.out_channels = widths.next(), .norm = kNorm, .activation = Function::silu});
  if (!o.include_top) {
    g.add_output("features", x);
    return g;
  }
  x = g.add("head.pool", AdaptiveAvgPool2d{}, {x});
  x = g.add("head.flatten", Flatten{}, {x});
  if (o.dropout > 0) x = g.add("head.dropout", Dropout{.p = static_cast<float>(o.dropout)}, {x});
  g.add_output("logits", g.add("classifier", Linear{.out_features = o.num_classes}, {x}));
  return g;
}

int scaled_extent(int extent, double factor) {
  return 8 * std::max(1, truncate(extent * factor / 8 + 0.5));
}

}  // namespace

std::vector<int> efficientnet_widths(const EfficientNetOptions& o) {
  check(o);
  const auto width = [&](int filters) { return make_divisible(filters * o.width, o.divisor); };
  std::vector<int> widths = {width(kStemFilters)};
  widths.reserve(static_cast<std::size_t>(slot_count(o)));
  for (const Stage& stage : kStages)
    for (int i = 0; i < repeats(o, stage); ++i) {
      const int in = widths.back();
      if (stage.expansion != 1) widths.push_back(in * stage.expansion);
      widths.push_back(std::max(1, in / kSqueeze));
      widths.push_back(width(stage.filters));
    }
  widths.push_back(width(kLastFilters));
  return widths;
}

Graph efficientnet_with_widths(const EfficientNetOptions& options, std::span<const int> widths) {
  check(options);
  return build_family(kFamily, options.input, [&] { return build(options, widths); });
}

Graph efficientnet(const EfficientNetOptions& options) {
  return build_family(kFamily, options.input, [&] { return efficientnet_with_widths(options, efficientnet_widths(options)); });
}

EfficientNetOptions compound_scaled(const EfficientNetOptions& base, double phi) {
  expect_range(kFamily, "phi", phi, -40.0, 40.0);
  expect_input(kFamily, base.input);
  EfficientNetOptions scaled = base;
  if (phi == 0) return scaled;
  scaled.depth = base.depth * std::pow(1.2, phi);
  scaled.width = base.width * std::pow(1.1, phi);
  const double resolution = std::pow(1.15, phi);
  scaled.input = {base.input.channels(), scaled_extent(base.input.height(), resolution), scaled_extent(base.input.width(), resolution)};
  return scaled;
}

}  // namespace micromind
