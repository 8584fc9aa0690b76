#include "micromind/cost/convolutions.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cost/count.h"

namespace micromind {
namespace {

constexpr std::int32_t kLargestKernel = 255;

struct Problem {
  Shape input;
  std::int32_t out_channels, kernel;
  std::int64_t area() const { return std::int64_t{input.height()} * input.width(); }
};

// Everything below is at most the dense layer's weights and biases, or a convolution's with a window larger
// than the image.
void check(const Problem& p) {
  if (p.input.rank() != 3)
    fail_with_hint("explain", "write channels, height and width: 3x64x64",
                   "the input has {} extents, expected 3", p.input.rank());
  if (*std::min_element(p.input.begin(), p.input.end()) < 1)
    fail("explain", "the input is {}: every extent must be at least 1", to_string(p.input));
  if (p.kernel < 1 || p.kernel > kLargestKernel)
    fail("explain", "the kernel is {}: expected 1 to {}", p.kernel, kLargestKernel);
  if (p.out_channels < 1) fail("explain", "{} output channels: expected at least 1", p.out_channels);
  const auto too_large = [&](std::string_view what) {
    fail_with_hint("explain", "a smaller input, fewer output channels or a smaller kernel",
                   "{} → {}×{}×{}: {}", to_string(p.input), p.out_channels, p.input.height(), p.input.width(),
                   what);
  };
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  std::int64_t in = 0, out = 0, dense = 0, window = 0, standard = 0;
  if (__builtin_mul_overflow(p.area(), std::int64_t{p.input.channels()}, &in) || in > most)
    too_large("the input has more than 2,147,483,647 numbers");
  if (__builtin_mul_overflow(p.area(), std::int64_t{p.out_channels}, &out) || out > most)
    too_large("the output has more than 2,147,483,647 numbers");
  if (__builtin_mul_overflow(in + 1, out, &dense)) too_large("the dense layer's weights exceed 64 bits");
  if (__builtin_mul_overflow(std::int64_t{p.kernel} * p.kernel, std::int64_t{p.input.channels()} + 1,
                             &window) ||
      __builtin_mul_overflow(window, out, &standard) || __builtin_add_overflow(standard, dense, &dense))
    too_large("the standard convolution's operations exceed 64 bits");
}

Conv2d convolution(std::int32_t channels, std::int32_t kernel, std::int32_t groups) {
  const std::int32_t before = (kernel - 1) / 2, after = kernel - 1 - before;
  return {.out_channels = channels,
          .kernel = kernel,
          .padding = {before, after, before, after},
          .groups = groups};
}

Count count_chain(const Shape& input, std::initializer_list<Op> ops) {
  Graph graph("explain");
  int value = graph.add_input("x", input);
  int number = 0;
  for (const Op& op : ops) value = graph.add(fmt::format("op{}", number++), op, {value});
  graph.add_output("y", value);
  return count(graph);
}

ConvolutionRow row(std::string name, const Count& c, std::int64_t biases) {
  ConvolutionRow r;
  r.name = std::move(name);
  r.parameters = c.parameters;
  r.weights = c.parameters - biases;
  r.macs = c.macs;
  r.macs_with_bias = c.torchinfo_mult_adds;
  return r;
}

ConvolutionRow dense(const Problem& p) {
  const std::int64_t in = p.area() * p.input.channels(), out = p.area() * p.out_channels;
  ConvolutionRow r =
      row("dense", count_chain(p.input, {Flatten{}, Linear{.out_features = static_cast<std::int32_t>(out)}}),
          out);
  r.connects = "every number of the input with every number of the output";
  r.parameters_formula = fmt::format("(C·H·W)·(N·H·W) + N·H·W = {}·{} + {}", format_count(in),
                                     format_count(out), format_count(out));
  r.macs_formula = fmt::format("(C·H·W)·(N·H·W) = {}·{}", format_count(in), format_count(out));
  r.lesson =
      "Knows nothing of images: each pair of pixels has a weight of its own, used once. What is learnt in "
      "one place is not known in another.";
  return r;
}

ConvolutionRow standard(const Problem& p) {
  const std::int32_t c = p.input.channels(), k = p.kernel, n = p.out_channels;
  ConvolutionRow r = row("standard", count_chain(p.input, {convolution(n, k, 1)}), n);
  r.connects = "a window of K×K pixels, all input channels, with every output channel at its centre";
  r.parameters_formula = fmt::format("C·K²·N + N = {}·{}²·{} + {}", c, k, n, n);
  r.macs_formula = fmt::format("C·K²·N·H·W = {}·{}²·{}·{}·{}", c, k, n, p.input.height(), p.input.width());
  r.lesson =
      "One small set of weights slides over the image: they no longer depend on its size, the operations do. "
      "Space and channels are mixed at once.";
  return r;
}

ConvolutionRow pointwise(const Problem& p) {
  const std::int32_t c = p.input.channels(), n = p.out_channels;
  ConvolutionRow r = row("pointwise", count_chain(p.input, {convolution(n, 1, 1)}), n);
  r.connects = "one pixel, all input channels, with the output channels of the same pixel";
  r.parameters_formula = fmt::format("C·N + N = {}·{} + {}", c, n, n);
  r.macs_formula = fmt::format("C·N·H·W = {}·{}·{}·{}", c, n, p.input.height(), p.input.width());
  r.lesson =
      "Mixes channels and sees no neighbours: a standard convolution with K = 1, and K² times cheaper.";
  return r;
}

ConvolutionRow depthwise(const Problem& p) {
  const std::int32_t c = p.input.channels(), k = p.kernel, n = p.out_channels;
  ConvolutionRow r = row("depthwise", count_chain(p.input, {convolution(c, k, c)}), c);
  r.parameters = r.weights + n;
  r.macs_with_bias = r.macs + n * p.area();
  r.connects = "a window of K×K pixels of one channel with its centre in the same channel";
  r.parameters_formula = fmt::format("C·K² + N = {}·{}² + {}", c, k, n);
  r.macs_formula = fmt::format("C·K²·H·W = {}·{}²·{}·{}", c, k, p.input.height(), p.input.width());
  r.lesson = "Sees neighbours and mixes no channels, so the factor N is gone.";
  if (n == c) return r;
  r.lesson += fmt::format(
      " By itself it makes {} → {} channels, or a whole multiple with a channel multiplier; ", c, c);
  r.lesson += n % c == 0 ? fmt::format("{} → {} needs the multiplier {}, and as many times the weights. ", c,
                                       n, n / c)
                         : fmt::format("{} → {} is none. ", c, n);
  r.lesson += "Counted here: one filter an input channel and a bias an output channel.";
  return r;
}

ConvolutionRow separable(const Problem& p) {
  const std::int32_t c = p.input.channels(), k = p.kernel, n = p.out_channels;
  ConvolutionRow r =
      row("separable", count_chain(p.input, {convolution(c, k, c), convolution(n, 1, 1)}), c + n);
  r.connects = "the same as the standard convolution, in two steps: depthwise, then pointwise";
  r.parameters_formula = fmt::format("C·K² + C + C·N + N = {}·{}² + {} + {}·{} + {}", c, k, c, c, n, n);
  r.macs_formula =
      fmt::format("(C·K² + C·N)·H·W = ({}·{}² + {}·{})·{}·{}", c, k, c, n, p.input.height(), p.input.width());
  r.lesson =
      "A product N·K² has become a sum N + K²: what MobileNet and PhiNet are made of. Fewer operations are "
      "not less energy in the same "
      "measure: each weight and pixel that is fetched is used less often.";
  return r;
}

}  // namespace

std::vector<ConvolutionRow> explain_convolutions(const Shape& input, std::int32_t out_channels,
                                                 std::int32_t kernel) {
  const Problem p{input, out_channels, kernel};
  check(p);
  return {dense(p), standard(p), pointwise(p), depthwise(p), separable(p)};
}

}  // namespace micromind
