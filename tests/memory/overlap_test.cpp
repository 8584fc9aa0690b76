#include "micromind/memory/overlap.h"

#include <gtest/gtest.h>

#include <vector>

#include "micromind/base/random.h"
#include "micromind/quantize/kernel_table.h"

namespace micromind {

extern const KernelTable kPlainKernels;

namespace {

int pick(Random& random, int low, int high) { return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1))); }

struct Layer {
  Op op;
  Shape in, out;
  Size kernel, stride, dilation;
  Padding padding;
};

std::optional<Layer> random_layer(Random& random) {
  Layer l;
  const int channels = pick(random, 1, 9);
  l.in = {channels, pick(random, 1, 12), pick(random, 1, 12)};
  l.kernel = {pick(random, 1, 4), pick(random, 1, 4)};
  l.stride = {pick(random, 1, 3), pick(random, 1, 3)};
  l.dilation = random.below(4) == 0 ? Size(pick(random, 1, 3), pick(random, 1, 3)) : Size(1);
  l.padding = {pick(random, 0, 3), pick(random, 0, 3), pick(random, 0, 3), pick(random, 0, 3)};
  switch (random.below(4)) {
    case 0: l.op = Conv2d{.out_channels = channels * pick(random, 1, 2), .kernel = l.kernel, .stride = l.stride, .dilation = l.dilation, .padding = l.padding, .groups = channels}; break;
    case 1:
      l.dilation = 1;
      l.op = MaxPool2d{.kernel = l.kernel, .stride = l.stride, .padding = l.padding};
      break;
    case 2:
      l.dilation = 1;
      l.op = AvgPool2d{.kernel = l.kernel, .stride = l.stride, .padding = l.padding};
      break;
    default: l.op = Conv2d{.out_channels = pick(random, 1, 9), .kernel = l.kernel, .stride = l.stride, .dilation = l.dilation, .padding = l.padding};
  }
  try {
    const Shape in = l.in;
    l.out = infer(l.op, {&in, 1})[0];
  } catch (const std::exception&) {
    return std::nullopt;  // no window fits
  }
  return l;
}

// The contract, byte by byte: while the window of pixel q is read, kPixelsAtOnce pixels from q on may have been written.
bool nothing_lost(const Layer& l, std::int64_t d) {
  const std::int64_t pixels = std::int64_t{l.out.height()} * l.out.width();
  for (std::int64_t q = 0; q < pixels; ++q) {
    const std::int64_t written = std::min(q + kPixelsAtOnce, pixels) * l.out.channels();
    for (int i = 0; i < l.kernel.h; ++i)
      for (int j = 0; j < l.kernel.w; ++j) {
        const std::int64_t y = q / l.out.width() * l.stride.h - l.padding.top + i * l.dilation.h;
        const std::int64_t x = q % l.out.width() * l.stride.w - l.padding.left + j * l.dilation.w;
        if (y < 0 || x < 0 || y >= l.in.height() || x >= l.in.width()) continue;
        const std::int64_t byte = (y * l.in.width() + x) * l.in.channels();  // of this pixel the first is the nearest
        if (byte + l.in.channels() > d && byte < d + written) return false;
      }
  }
  return true;
}

bool reads(const Layer& l) { return nothing_lost(l, 0) == false || nothing_lost(l, -1) == false || nothing_lost(l, l.in.elements() - 1) == false; }

TEST(Overlap, IsTheLargestThatLosesNothing) {
  int layers = 0, partial = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    Random random(seed);
    const std::optional<Layer> l = random_layer(random);
    if (!l || !reads(*l)) continue;
    const std::optional<std::int64_t> most = overlap(l->op, l->in, l->out);
    ASSERT_TRUE(most) << seed;
    ASSERT_GE(*most, -l->out.elements()) << seed;
    ASSERT_TRUE(nothing_lost(*l, *most)) << seed;
    ASSERT_TRUE(nothing_lost(*l, *most - 1 - pick(random, 0, 50))) << seed;
    if (l->dilation == Size(1)) {
      ASSERT_FALSE(nothing_lost(*l, *most + 1)) << seed << " " << to_string(l->in) << " " << to_string(l->out) << " " << *most;
    }
    ++layers;
    partial += *most > -l->out.elements();
  }
  EXPECT_GT(layers, 1500);
  EXPECT_GT(partial, 1000);
}

// The hull of the terms gives the same for any channels: what scaling evaluates.
TEST(Overlap, TermsHoldForAllChannels) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Random random(seed);
    std::optional<Layer> l = random_layer(random);
    if (!l) continue;
    const std::vector<OverlapTerm> terms = overlap_terms(l->op, l->in, l->out);
    for (int draw = 0; draw < 5 && !terms.empty(); ++draw) {
      const Shape in{pick(random, 1, 300), l->in[1], l->in[2]}, out{pick(random, 1, 300), l->out[1], l->out[2]};
      std::int64_t most = in.elements();
      for (const OverlapTerm& t : terms) most = std::min(most, t.first * in.channels() - t.end * out.channels());
      EXPECT_EQ(overlap(l->op, in, out), most) << seed;
    }
    if (l->out.width() >= kPixelsAtOnce) {
      EXPECT_LE(terms.size(), 8u);
    }
  }
}

TEST(Overlap, KnownLayers) {
  const auto of = [](const Op& op, const Shape& in) { return overlap(op, in, infer(op, {&in, 1})[0]); };
  // 3×3 over 16 channels of 32×32: a row, the pixel to the left, and the four that are written.
  EXPECT_EQ(of(Conv2d{.out_channels = 16, .kernel = 3, .padding = 1}, {16, 32, 32}), -(32 + 1 + 4) * 16);
  EXPECT_EQ(of(Conv2d{.out_channels = 16}, {16, 32, 32}), -4 * 16);
  // To twice the channels: the last pixels decide.
  EXPECT_EQ(of(Conv2d{.out_channels = 32}, {16, 32, 32}), 16 * (1024 - 4) - 32 * 1024);
  EXPECT_EQ(of(MaxPool2d{}, {16, 32, 32}), -4 * 16);
  EXPECT_EQ(of(Linear{.out_features = 8}, {16}), std::nullopt);
  EXPECT_EQ(of(AdaptiveAvgPool2d{}, {16, 8, 8}), std::nullopt);
}

// The portable kernels, with the output really over the input as far as is legal, on random layers: the bytes are those of
// separate memory.
TEST(Overlap, KernelsKeepTheOrder) {
  int run = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Random random(seed);
    const std::optional<Layer> l = random_layer(random);
    if (!l) continue;
    const std::optional<std::int64_t> d = overlap(l->op, l->in, l->out);
    if (!d) continue;
    const auto bytes = [&](std::int64_t n) {
      std::vector<std::int8_t> data(static_cast<std::size_t>(n));
      for (std::int8_t& x : data) x = static_cast<std::int8_t>(random.below(256));
      return data;
    };
    const std::vector<std::int8_t> input = bytes(l->in.elements()), weights = bytes(std::int64_t{l->out[0]} * l->in[0] * l->kernel.h * l->kernel.w);
    const std::vector<std::int32_t> bias(static_cast<std::size_t>(l->out[0]), 77), multiplier(static_cast<std::size_t>(l->out[0]), 1 << 30);
    const std::vector<std::int8_t> shift(static_cast<std::size_t>(l->out[0]), -6);
    const auto call = [&](const std::int8_t* in, std::int8_t* out) {
      const auto fill = [&](auto& p) {
        p.in_h = l->in[1], p.in_w = l->in[2], p.out_h = l->out[1], p.out_w = l->out[2];
        p.kernel_h = l->kernel.h, p.kernel_w = l->kernel.w, p.stride_h = l->stride.h, p.stride_w = l->stride.w;
        p.pad_top = l->padding.top, p.pad_left = l->padding.left, p.act_min = -128, p.act_max = 127;
      };
      const auto fill_conv = [&](auto& p) {
        fill(p);
        p.in_c = l->in[0], p.out_c = l->out[0], p.dilation_h = l->dilation.h, p.dilation_w = l->dilation.w;
        p.input_offset = 3, p.output_offset = -5;
        p.weights = weights.data(), p.bias = bias.data(), p.multiplier = multiplier.data(), p.shift = shift.data();
      };
      std::visit(Overloaded{
                     [&](const Conv2d& o) {
                       if (o.depthwise(l->in)) {
                         mm_depthwise_conv2d_s8_params p{};
                         fill_conv(p);
                         kPlainKernels.depthwise_conv2d(&p, in, out);
                       } else {
                         mm_conv2d_s8_params p{};
                         fill_conv(p);
                         p.groups = o.groups;
                         kPlainKernels.conv2d(&p, in, out);
                       }
                     },
                     [&](const MaxPool2d&) {
                       mm_max_pool2d_s8_params p{};
                       fill(p);
                       p.channels = l->in[0];
                       kPlainKernels.max_pool2d(&p, in, out);
                     },
                     [&](const AvgPool2d&) {
                       mm_average_pool2d_s8_params p{};
                       fill(p);
                       p.channels = l->in[0];
                       kPlainKernels.average_pool2d(&p, in, out);
                     },
                     [](const auto&) {},
                 },
                 l->op);
    };
    std::vector<std::int8_t> apart(static_cast<std::size_t>(l->out.elements()));
    call(input.data(), apart.data());
    const std::int64_t base = std::max<std::int64_t>(0, -*d);
    std::vector<std::int8_t> arena(static_cast<std::size_t>(base + std::max(l->in.elements(), *d + l->out.elements())));
    std::copy(input.begin(), input.end(), arena.begin() + base);
    call(arena.data() + base, arena.data() + base + *d);
    ASSERT_TRUE(std::equal(apart.begin(), apart.end(), arena.begin() + base + *d)) << seed;
    ++run;
  }
  EXPECT_GT(run, 1500);
}

}  // namespace
}  // namespace micromind
