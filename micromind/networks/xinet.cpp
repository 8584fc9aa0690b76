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
  expect_range(family, "beta", o.beta, 0.0, 100.0);
  if (o.beta != 1 && !o.paper_widths)
    fail_with_hint(family, "set paper_widths = true", "beta = {}: only the paper's widths depend on beta, the package's do not", o.beta);
  expect_range(family, "num_layers", o.num_layers, 3, 12);
  expect_range(family, "num_classes", o.num_classes, 1, 1'000'000);
  if (o.base_filters != 4 && o.base_filters != 16) fail(family, "base_filters = {}: expected 4 or 16", o.base_filters);
  expect_layers(family, "return_layers", o.return_layers, 2 * (o.num_layers - 1));
}

int conv_count(const XiNetOptions& o) { return 2 * (o.num_layers - 1); }

bool is_last(const XiNetOptions& o, int index) { return index >= conv_count(o) - 2; }

int gamma_of(const XiNetOptions& o, int index) { return is_last(o, index) ? kLastGamma : truncate(o.gamma); }

int slot_count(const XiNetOptions& o) { return 1 + (conv_count(o) - 2) * (truncate(o.gamma) > 1 ? 3 : 2) + 2 * 2; }

// How often the image was halved before the pair: by the stem (index −1) and by each pair's first XiConv.
int halvings(int index) { return index < 0 ? 0 : index / 2 + 1; }

bool has_paper_width(const XiNetOptions& o, int index) { return o.paper_widths && index > 0; }

int width(const XiNetOptions& o, int index) {
  const double real = xinet_channels(o, index);
  const double rounding_error = 1e-9;  // 4.000000001 is 4
  const int channels = has_paper_width(o, index) ? truncate(4 * std::ceil(real / 4 - rounding_error)) : truncate(real);
  if (channels < 1)
    fail_with_hint("xinet", "use a larger alpha or beta", "alpha = {}, beta = {} leave {} no channel", o.alpha, o.beta,
                   index < 0 ? "the stem" : "layers." + std::to_string(index));
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

double xinet_channels(const XiNetOptions& o, int index) {
  const double channels = std::ldexp(o.alpha * o.base_filters, halvings(index));
  return has_paper_width(o, index) ? channels * (1 + ((o.beta - 1) * (index + 1)) / conv_count(o)) : channels;
}

std::vector<int> xinet_widths(const XiNetOptions& o) {
  check(o);
  std::vector<int> widths = {width(o, -1)};
  widths.reserve(static_cast<std::size_t>(slot_count(o)));
  for (int index = 0; index < conv_count(o); ++index) {
    const int out = width(o, index), gamma = gamma_of(o, index), compressed = out / gamma;
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
