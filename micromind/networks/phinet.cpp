#include "micromind/networks/phinet.h"

#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/networks/blocks.h"
#include "micromind/networks/options.h"

namespace micromind {
namespace {

// Widths before alpha, fixed in the reference.
constexpr int kStemFilters = 48, kFirstFilters = 24, kSecondFilters = 48;
constexpr NormOptions kNorm{1e-3f, 0.999f};

void check(const PhiNetOptions& o) {
  constexpr std::string_view family = "phinet";
  expect_input(family, o.input);
  expect_range(family, "num_layers", o.num_layers, 1, 64);
  if (!(o.alpha > 0)) fail(family, "alpha = {}: expected more than 0", o.alpha);
  expect_range(family, "alpha", o.alpha, 0.0, 100.0);
  expect_range(family, "beta", o.beta, 0.0, 100.0);
  expect_range(family, "t_zero", o.t_zero, 0.0, 100.0);
  expect_range(family, "num_classes", o.num_classes, 1, 1'000'000);
  expect_range(family, "conv5_percent", o.conv5_percent, 0.0, 1.0);
  expect_range(family, "first_conv_stride", o.first_conv_stride, 1, 16);
  expect_range(family, "divisor", o.divisor, 1, 1024);
}

int block_count(const PhiNetOptions& o) { return std::max(o.num_layers, 3); }

bool squeezes(const PhiNetOptions& o) { return o.squeeze_excite && !o.compatibility; }

// Blocks 1 and 3 are always among them.
bool downsamples(const PhiNetOptions& o, int id) {
  if (id <= 3) return id != 2;
  return std::find(o.downsampling_layers.begin(), o.downsampling_layers.end(), id) != o.downsampling_layers.end();
}

int slot_count(const PhiNetOptions& o) { return (o.conv2d_input ? 1 : 2) + block_count(o) * (squeezes(o) ? 3 : 2); }

class Builder {
 public:
  Builder(const PhiNetOptions& options, std::span<const int> widths)
      : o_(options),
        widths_("phinet", widths, slot_count(options)),
        g_("phinet"),
        act_(o_.h_swish && !o_.compatibility ? Function::hard_swish : Function::relu6) {
    g_.reserve(static_cast<std::size_t>(16 * (block_count(o_) + 1) + 12));
  }

  Graph build() {
    int x = g_.add_input("image", o_.input);
    x = o_.conv2d_input ? plain_stem(x) : separable_stem(x);
    for (int id = 1; id <= block_count(o_); ++id) x = block(id, x, downsamples(o_, id));
    expect_layers("phinet", "return_layers", o_.return_layers, layers_);
    add_top(g_, x, o_.include_top, o_.num_classes);
    for (const auto& [index, value] : returned_) g_.add_output("layer" + std::to_string(index), value);
    return std::move(g_);
  }

 private:
  // Counts the reference's `_layers` and notes those that are to be returned.
  int layer(int value) {
    if (std::find(o_.return_layers.begin(), o_.return_layers.end(), layers_) != o_.return_layers.end())
      returned_.emplace_back(layers_, value);
    ++layers_;
    return value;
  }

  int separable_stem(int x) {
    const int odd = std::max(o_.input.height(), o_.input.width()) % 2;  // the reference takes the image for square
    x = layer(g_.add("stem.pad", Pad{{odd, 1, odd, 1}}, {x}));
    x = layer(separable_conv(g_, "stem", x,
                             {.out_channels = widths_.next(), .stride = o_.first_conv_stride, .norm_between = false, .norm = kNorm,
                              .activation = act_}));
    return layer(phinet_block(g_, "blocks.0", x, {.out_channels = widths_.next(), .residual = o_.residuals, .activation = act_}));
  }

  int plain_stem(int x) {
    x = layer(g_.add("stem.conv", Conv2d{.out_channels = widths_.next(), .kernel = 3, .bias = false}, {x}));
    x = layer(g_.add("stem.act", Activation{act_}, {x}));
    return layer(g_.add("stem.norm", BatchNorm{}, {x}));
  }

  // Blocks 1 to 3 pool behind the block, later ones in front of it.
  int block(int id, int x, bool down) {
    const bool pool = down && o_.pool;
    if (pool && id > 3) x = max_pool(id, x);
    const int expanded = widths_.next();
    const int squeezed = squeezes(o_) ? widths_.next() : 0;
    const bool wide = id > 3 && static_cast<double>(id) / o_.num_layers > 1 - o_.conv5_percent;
    x = layer(phinet_block(g_, "blocks." + std::to_string(id), x,
                           {.out_channels = widths_.next(),
                            .expanded = expanded,
                            .kernel = wide ? 5 : 3,
                            .stride = down && !o_.pool ? 2 : 1,
                            .squeezed = squeezed,
                            .residual = o_.residuals,
                            .activation = act_}));
    return pool && id <= 3 ? max_pool(id, x) : x;
  }

  int max_pool(int id, int x) { return layer(g_.add("pools." + std::to_string(id), MaxPool2d{}, {x})); }

  const PhiNetOptions& o_;
  WidthReader widths_;
  Graph g_;
  Function act_;
  int layers_ = 0;
  std::vector<std::pair<int, int>> returned_;
};

}  // namespace

double phinet_expansion(const PhiNetOptions& o, int id) {
  return (o.t_zero * o.beta) * id / o.num_layers + o.t_zero * (o.num_layers - id) / o.num_layers;
}

std::vector<int> phinet_widths(const PhiNetOptions& o) {
  check(o);
  const auto width = [&](int filters) { return make_divisible(truncate(filters * o.alpha), o.divisor); };
  std::vector<int> widths;
  widths.reserve(static_cast<std::size_t>(slot_count(o)));
  // The reference leaves `divisor` out of a plain stem, and then fits its next block only where that changes nothing.
  if (!o.conv2d_input) widths.push_back(width(kStemFilters));
  widths.push_back(width(kFirstFilters));
  int filters = kSecondFilters;
  for (int id = 1; id <= block_count(o); ++id) {
    const int expanded = make_divisible(truncate(phinet_expansion(o, id) * widths.back()), o.divisor);
    widths.push_back(expanded);
    if (squeezes(o)) widths.push_back(make_divisible(std::max(1, expanded / 6), o.divisor));
    if (id > 3 && downsamples(o, id)) filters = truncate(2.0 * filters);
    widths.push_back(width(id < 3 ? kFirstFilters : filters));
  }
  return widths;
}

Graph phinet_with_widths(const PhiNetOptions& options, std::span<const int> widths) {
  check(options);
  return build_family("phinet", options.input, [&] { return Builder(options, widths).build(); });
}

Graph phinet(const PhiNetOptions& options) {
  return build_family("phinet", options.input, [&] { return phinet_with_widths(options, phinet_widths(options)); });
}

}  // namespace micromind
