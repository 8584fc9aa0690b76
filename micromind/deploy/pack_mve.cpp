#include "micromind/deploy/pack_mve.h"

#include <algorithm>
#include <functional>

#include "runtime/kernels/mve_conv2d_s8.h"
#include "runtime/kernels/mve_depthwise_conv2d_s8.h"
#include "runtime/kernels/mve_linear_s8.h"

namespace micromind {
namespace {

constexpr std::int64_t kLanes = 16;        // bytes of a vector
constexpr std::int64_t kMostWindow = 2048; // of which at least one is held

struct Layer {
  std::int64_t channels, window;  ///< positions of a filter, those between its taps included
  std::int32_t input_offset;
  const Requantization& requantization;
  std::span<const std::int32_t> bias;
  std::function<std::int8_t(std::int64_t channel, std::int64_t position)> weight;
  bool one_factor = false;  ///< for all channels
};

std::optional<PackedWeights> pack(const Layer& layer, std::int64_t scratch_bytes, std::int64_t groups = 1) {
  const Requantization& r = layer.requantization;
  const std::int64_t group_channels = layer.channels / groups;
  if (layer.bias.size() != static_cast<std::size_t>(layer.channels)) return std::nullopt;
  if (std::any_of(r.shift.begin(), r.shift.end(), [](int shift) { return shift > 0 || shift < -31; })) return std::nullopt;
  const std::int64_t vectors = (layer.window + kLanes - 1) / kLanes;
  PackedWeights packed;
  packed.column_words = (scratch_bytes + 3) / 4;
  packed.bytes.reserve(static_cast<std::size_t>((layer.channels + 3) / 4 * (64 * vectors + MM_MVE_CONSTANTS) + MM_MVE_FACTOR));
  const auto put = [&](std::int64_t value, int bytes) {  // little endian
    for (int i = 0; i < bytes; ++i) packed.bytes.push_back(static_cast<std::int8_t>(value >> (8 * i)));
  };
  const auto end = [&](std::int64_t o) { return (o / group_channels + 1) * group_channels; };  // of its convolution's group
  const auto each = [&](std::int64_t four, int bytes, const auto& value) {
    for (std::int64_t o = four; o < four + 4; ++o) put(o < end(four) ? value(o) : 0, bytes);
  };
  const auto factors = [&](std::int64_t four) {
    const auto scale = [&](std::int64_t o) { return static_cast<std::size_t>(layer.one_factor ? 0 : o); };
    each(four, 4, [&](std::int64_t o) { return std::int64_t{r.multiplier[scale(o)]}; });
    each(four, 1, [&](std::int64_t o) { return std::int64_t{r.shift[scale(o)]}; });
    put(0, 4);
  };
  if (layer.one_factor) factors(0);
  for (std::int64_t four = 0; four < layer.channels; four = std::min(four + 4, end(four))) {
    for (std::int64_t at = 0; at < vectors * kLanes; at += kLanes)
      for (std::int64_t o = four; o < four + 4; ++o)
        for (std::int64_t i = at; i < at + kLanes; ++i) put(o < end(four) && i < layer.window ? layer.weight(o, i) : 0, 1);
    each(four, 4, [&](std::int64_t o) {
      std::uint32_t sum = 0;  // modulo 2^32, as the kernels' sums
      for (std::int64_t i = 0; i < layer.window; ++i) sum += static_cast<std::uint32_t>(int{layer.weight(o, i)});
      return std::int64_t{static_cast<std::uint32_t>(layer.bias[static_cast<std::size_t>(o)]) +
                          sum * static_cast<std::uint32_t>(layer.input_offset)};
    });
    if (!layer.one_factor) factors(four);
  }
  return packed;
}

std::int64_t whole_vectors(std::int64_t bytes) { return (bytes + kLanes - 1) / kLanes * kLanes; }

}  // namespace

std::optional<PackedWeights> pack_mve(const mm_conv2d_s8_params& p, const Requantization& r, std::span<const std::int8_t> weights,
                                      std::span<const std::int32_t> bias) {
  const std::int64_t window = std::int64_t{p.kernel_h} * p.kernel_w * (p.in_c / p.groups), held = p.groups * whole_vectors(window);
  if (held > kMostWindow) return std::nullopt;
  return pack({p.out_c, window, p.input_offset, r, bias,
               [&](std::int64_t o, std::int64_t i) { return weights[static_cast<std::size_t>(o * window + i)]; }},
              held <= MM_MVE_MOST_PAIRED ? 2 * held : held, p.groups);
}

std::optional<PackedWeights> pack_mve(const mm_depthwise_conv2d_s8_params& p, const Requantization& r,
                                      std::span<const std::int8_t> weights, std::span<const std::int32_t> bias) {
  if (p.out_c != p.in_c || p.out_c > MM_MVE_DEPTHWISE_SCRATCH || p.kernel_h > 64 || p.kernel_w > 64) return std::nullopt;
  const std::int32_t scratch = mm_mve_depthwise_conv2d_s8_scratch(&p, mm_mve_depthwise_conv2d_s8_at_once(&p));
  if (scratch > MM_MVE_DEPTHWISE_SCRATCH) return std::nullopt;
  const std::int64_t words = (p.kernel_h + 3) / 4, channels = p.out_c;
  const auto weight = [&](std::int64_t o, std::int64_t i) -> std::int8_t {  // [column][word][4 rows]
    const std::int64_t column = i / (4 * words), row = i % (4 * words);
    return row < p.kernel_h ? weights[static_cast<std::size_t>((row * p.kernel_w + column) * channels + o)] : std::int8_t{0};
  };
  return pack({channels, p.kernel_w * words * 4, p.input_offset, r, bias, weight}, scratch);
}

std::optional<PackedWeights> pack_mve(const mm_linear_s8_params& p, const Requantization& r, std::span<const std::int8_t> weights,
                                      std::span<const std::int32_t> bias) {
  const std::int64_t features = p.in_features, held = features % kLanes == 0 ? kLanes : whole_vectors(features);
  if (held > kMostWindow) return std::nullopt;
  return pack({p.out_features, features, p.input_offset, r, bias,
               [&](std::int64_t o, std::int64_t i) { return weights[static_cast<std::size_t>(o * features + i)]; }, p.per_channel == 0},
              held);
}

}  // namespace micromind
