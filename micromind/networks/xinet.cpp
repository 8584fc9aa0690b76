#include "micromind/networks/xinet.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/networks/blocks.h"
#include "micromind/networks/options.h"

namespace micromind {
namespace {

constexpr int kLastGamma = 4;  // of the last two XiConvs, whatever `gamma`

void check(const XiNetOptions& o) {
  constexpr std::string_view family = "xinet";
  expect_input(family, o.input);
  if (!(o.alpha > 0)) fail(family, "alpha = {}: expected more than 0", o.alpha);
  expect_range(family, "alpha", o.alpha, 0.0, 100.0);
  expect_range(family, "gamma", o.gamma, 1.0, 1024.0);
  expect_range(family, "num_layers", o.num_layers, 3, 12);
  expect_range(family, "num_classes", o.num_classes, 1, 1'000'000);
  if (o.base_filters != 4 && o.base_filters != 16) fail(family, "base_filters = {}: expected 4 or 16", o.base_filters);
  expect_layers(family, "return_layers", o.return_layers, 2 * (o.num_layers - 1));
}

int conv_count(const XiNetOptions& o) { return 2 * (o.num_layers - 1); }

bool is_last(const XiNetOptions& o, int index) { return index >= conv_count(o) - 2; }

int gamma_of(const XiNetOptions& o, int index) { return is_last(o, index) ? kLastGamma : truncate(o.gamma); }

int slot_count(const XiNetOptions& o) { return 1 + (conv_count(o) - 2) * (truncate(o.gamma) > 1 ? 3 : 2) + 2 * 2; }

// Stage of a XiConv: the stem's is 0, each pair's first XiConv pools into the next, and so counts the last pair.
int stage_of(int index) { return index / 2 + 1; }

int width(const XiNetOptions& o, int stage) {
  const int filters = stage == 0 ? o.base_filters : truncate(std::pow(2.0, std::sqrt(o.base_filters) + stage));
  const int channels = truncate(filters * o.alpha);
  if (channels < 1) fail_with_hint("xinet", "use a larger alpha", "alpha = {} leaves no channel of {}", o.alpha, filters);
  return channels;
}

Graph build(const XiNetOptions& o, std::span<const int> slots) {
  WidthReader widths("xinet", slots, slot_count(o));
  Graph g("xinet");
  g.reserve(static_cast<std::size_t>(16 * 2 * o.num_layers));
  std::vector<std::pair<int, int>> returned;
  int skip = -1;
  int x = g.add_input("image", o.input);
  x = conv_bn_act(g, "stem", x,
                  {.out_channels = widths.next(), .kernel = 7, .stride = 2, .padding = 3, .activation = Function::silu});
  for (int index = 0; index < conv_count(o); ++index) {
    XiConvOptions xi;
    xi.gamma = gamma_of(o, index);
    if (xi.gamma > 1) xi.compressed = widths.next();
    xi.out_channels = widths.next();
    xi.attention = !is_last(o, index);
    if (xi.attention) xi.attention_reduced = widths.next();
    xi.pool = index % 2 == 0 && !is_last(o, index) ? 2 : 0;
    xi.skip = skip;
    x = xi_conv(g, "layers." + std::to_string(index), x, xi);
    if (index == 0) skip = x;
    if (std::find(o.return_layers.begin(), o.return_layers.end(), index) != o.return_layers.end()) returned.emplace_back(index, x);
  }
  add_top(g, x, o.include_top, o.num_classes);
  for (const auto& [i, value] : returned) g.add_output("layer" + std::to_string(i), value);
  return g;
}

}  // namespace

std::vector<int> xinet_widths(const XiNetOptions& o) {
  check(o);
  std::vector<int> widths = {width(o, 0)};
  widths.reserve(static_cast<std::size_t>(slot_count(o)));
  for (int index = 0; index < conv_count(o); ++index) {
    const int out = width(o, stage_of(index)), gamma = gamma_of(o, index), compressed = out / gamma;
    const bool attention = !is_last(o, index);
    if (compressed / (attention ? 2 : 1) < 1)
      fail_with_hint("xinet", "use more channels (alpha) or less compression (gamma)", "layers.{}: gamma = {} leaves no channel of {}{}", index,
                     gamma, out, attention ? " for attention, which has half of the compressed ones" : "");
    if (gamma > 1) widths.push_back(compressed);
    widths.push_back(out);
    if (attention) widths.push_back(compressed / 2);
  }
  return widths;
}

Graph xinet_with_widths(const XiNetOptions& options, std::span<const int> widths) {
  check(options);
  return build_family("xinet", options.input, [&] { return build(options, widths); });
}

Graph xinet(const XiNetOptions& options) {
  return build_family("xinet", options.input, [&] { return xinet_with_widths(options, xinet_widths(options)); });
}

}  // namespace micromind
