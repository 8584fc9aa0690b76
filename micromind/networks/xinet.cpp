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

Graph build(const XiNetOptions& o) {
  Graph g("xinet");
  g.reserve(static_cast<std::size_t>(16 * 2 * o.num_layers));
  const auto width = [&](int stage) {
    const int filters = truncate(std::pow(2.0, std::sqrt(o.base_filters) + stage));
    return truncate(filters * o.alpha);
  };
  std::vector<std::pair<int, int>> returned;
  int skip = -1, index = 0;
  const auto add = [&](int x, XiConvOptions xi) {
    xi.skip = skip;
    x = xi_conv(g, "layers." + std::to_string(index), x, xi);
    if (index == 0) skip = x;
    if (std::find(o.return_layers.begin(), o.return_layers.end(), index) != o.return_layers.end()) returned.emplace_back(index, x);
    ++index;
    return x;
  };

  int x = g.add_input("image", o.input);
  x = conv_bn_act(g, "stem", x,
                  {.out_channels = truncate(o.base_filters * o.alpha), .kernel = 7, .stride = 2, .padding = 3, .activation = Function::silu});
  const int gamma = truncate(o.gamma), last = o.num_layers - 1;
  for (int i = 0; i < o.num_layers - 2; ++i) {
    x = add(x, {.out_channels = width(i + 1), .gamma = gamma, .pool = 2});
    x = add(x, {.out_channels = width(i + 1), .gamma = gamma});
  }
  for (int i = 0; i < 2; ++i) x = add(x, {.out_channels = width(last), .gamma = kLastGamma, .attention = false});
  add_top(g, x, o.include_top, o.num_classes);
  for (const auto& [i, value] : returned) g.add_output("layer" + std::to_string(i), value);
  return g;
}

}  // namespace

Graph xinet(const XiNetOptions& options) {
  check(options);
  return build_family("xinet", options.input, [&] { return build(options); });
}

}  // namespace micromind
