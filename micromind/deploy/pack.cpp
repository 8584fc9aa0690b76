#include "micromind/deploy/pack.h"

#include <algorithm>
#include <cstdlib>

#include "runtime/kernels/packed_conv2d_s8.h"
#include "runtime/kernels/packed_depthwise_conv2d_s8.h"
#include "runtime/kernels/packed_linear_s8.h"

namespace micromind {
namespace {

constexpr std::int64_t kLargestSum = std::int64_t{1} << 29;
constexpr int kLeastShift = 2, kMostShift = 31;  // to the right
constexpr int kTiesByProduct = 11;               // most shift whose factor decides ties, see packed_s8.h
constexpr int kDeadShift = 8;
constexpr int kMostTaps = 128;  // of a depthwise kernel: 4 bytes of scratch each

// Filters as [channels][runs][run_bytes], each run filled up to whole quads.
struct Filters {
  std::vector<std::int8_t> weights;
  std::int64_t channels, runs, run_bytes;

  std::int64_t filter() const { return runs * run_bytes; }
  std::int64_t quads_in_run() const { return (run_bytes + 3) / 4; }
  std::int64_t quads() const { return runs * quads_in_run(); }
  std::int8_t& weight(std::int64_t channel, std::int64_t i) {
    return weights[static_cast<std::size_t>(channel * filter() + i)];
  }
  int at(std::int64_t channel, std::int64_t quad, std::int64_t k) const {
    const std::int64_t run = quad / quads_in_run(), byte = quad % quads_in_run() * 4 + k;
    if (channel >= channels || byte >= run_bytes) return 0;
    return weights[static_cast<std::size_t>((channel * runs + run) * run_bytes + byte)];
  }
};

struct Ends {
  std::int32_t output_offset, act_min, act_max;
};

// Makes every channel one that the packed kernels compute exactly. False where one cannot be.
bool make_exact(Filters& f, const Ends& ends, PackedWeights& packed) {
  std::vector<std::int32_t>& multiplier = packed.requantization.multiplier;
  std::vector<std::int8_t>& shift = packed.requantization.shift;
  if (packed.bias.size() != static_cast<std::size_t>(f.channels)) return false;
  if (f.channels > 1 && multiplier.size() == 1) {
    multiplier.resize(packed.bias.size(), multiplier[0]);
    shift.resize(packed.bias.size(), shift[0]);
  }
  for (std::int64_t o = 0; o < f.channels; ++o) {
    const auto channel = static_cast<std::size_t>(o);
    std::int64_t reach = 0;
    for (std::int64_t i = 0; i < f.filter(); ++i) reach += 255 * std::abs(int{f.weight(o, i)});
    const std::int64_t bias = packed.bias[channel];
    if (shift[channel] <= -kLeastShift && shift[channel] >= -kMostShift && std::abs(bias) + reach < kLargestSum) continue;
    if (std::abs(bias) + reach > INT32_MAX) return false;
    const auto output = [&](std::int64_t sum) {
      return mm_requantize_s8(static_cast<std::int32_t>(sum), multiplier[channel], shift[channel], ends.output_offset, ends.act_min,
                              ends.act_max);
    };
    // Rounding keeps the order of sums, so equal ends mean that all between are equal. A left shift might wrap.
    if (shift[channel] > 0 || output(bias - reach) != output(bias + reach)) {
      if (reach != 0) return false;
    }
    for (std::int64_t i = 0; i < f.filter(); ++i) f.weight(o, i) = 0;
    packed.bias[channel] = (output(bias) - ends.output_offset) * (2 << kDeadShift);  // times 2^30 / 2^31 / 2^kDeadShift
    multiplier[channel] = 1 << 30;
    shift[channel] = -kDeadShift;
  }
  return true;
}

// A pair's upper sum must fit 24 bits.
bool upper_sums_fit(const Filters& f) {
  for (std::int64_t o = 1; o < f.channels; o += 2) {
    std::int64_t reach = 0;
    for (std::int64_t i = 0; i < f.filter(); ++i)
      reach += 255 * (std::abs(int{f.weights[static_cast<std::size_t>(o * f.filter() + i)]}) + 1);
    if (reach >= 1 << 23) return false;
  }
  return f.filter() * 255 < 1 << 23;
}

// The stream of packed_s8.h.
class Stream {
 public:
  Stream(const Filters& filters, PackedWeights& packed) : f_(filters), p_(packed) {}

  bool narrow() {
    for (std::int64_t group = 0; group < f_.channels; group += 4) {
      for (const int k : {0, 2}) put(bias(group + k));
      if (!blocks(group, 0, f_.quads())) return false;
      for (const int k : {1, 3}) put(2 * bias(group + k));
      for (const int k : {0, 2, 1, 3}) put(multiplier(group + k));
      for (const int k : {0, 2, 1, 3}) put(factor(group, group + k));
    }
    p_.bias.clear();
    p_.requantization = {};
    return true;
  }
  bool wide(std::int64_t chunk) {
    for (std::int64_t first = 0; first < f_.channels; first += MM_PACKED_CHANNELS)
      for (std::int64_t block = 0; block < f_.quads(); block += chunk)
        for (std::int64_t group = first; group < std::min(f_.channels, first + MM_PACKED_CHANNELS); group += 4) {
          put(0);
          put(0);
          if (!blocks(group, block, std::min(block + chunk, f_.quads()))) return false;
        }
    return true;
  }

  void put(std::int64_t value) {  // little endian
    for (int i = 0; i < 4; ++i) p_.bytes.push_back(static_cast<std::int8_t>(value >> (8 * i)));
  }
  std::int64_t bias(std::int64_t o) const { return channel(p_.bias, o); }
  std::int64_t multiplier(std::int64_t o) const { return channel(p_.requantization.multiplier, o); }
  std::int64_t factor(std::int64_t group, std::int64_t o) const {
    int most = 0;
    for (int k = 0; k < 4; ++k) most = std::max(most, right(group + k));
    return (std::int64_t{1} << (32 - right(o))) + (most <= kTiesByProduct ? 1 : 0);
  }

 private:
  template <class T>
  std::int64_t channel(const std::vector<T>& values, std::int64_t o) const {
    return o < f_.channels ? values[static_cast<std::size_t>(o)] : 0;
  }
  int right(std::int64_t o) const {
    return o < f_.channels ? -p_.requantization.shift[static_cast<std::size_t>(o)] : kDeadShift;
  }
  bool blocks(std::int64_t group, std::int64_t from, std::int64_t to) {
    for (std::int64_t quad = from; quad < to; ++quad)
      for (const std::int64_t k : {0, 1})
        for (const std::int64_t pair : {0, 2})
          for (const std::int64_t step : {0, 2}) {
            const int low = f_.at(group + pair, quad, k + step);
            const int high = f_.at(group + pair + 1, quad, k + step) - (low < 0 ? 1 : 0);
            if (high < -128) return false;
            p_.bytes.push_back(static_cast<std::int8_t>(low));
            p_.bytes.push_back(static_cast<std::int8_t>(high));
          }
    return true;
  }
  const Filters& f_;
  PackedWeights& p_;
};

PackedWeights start(const Requantization& r, std::span<const std::int32_t> bias) {
  PackedWeights packed;
  packed.bias.assign(bias.begin(), bias.end());
  packed.requantization = r;
  return packed;
}

// `scratch(wide)`: words; `chunk`: blocks of a wide layer.
template <class Scratch>
std::optional<PackedWeights> pack(const Filters& filters, const Ends& ends, const Requantization& r,
                                  std::span<const std::int32_t> bias, std::int64_t chunk, Scratch&& scratch) {
  if (bias.size() != static_cast<std::size_t>(filters.channels)) return std::nullopt;
  Filters f = filters;
  PackedWeights packed = start(r, bias);
  if (scratch(0) <= MM_PACKED_WORDS && (f.quads() <= MM_PACKED_BLOCKS || upper_sums_fit(f)) && make_exact(f, ends, packed)) {
    if (!Stream(f, packed).narrow()) return std::nullopt;
  } else {
    packed = start(r, bias);
    packed.wide = true;
    if (!Stream(filters, packed).wide(chunk)) return std::nullopt;
  }
  packed.column_words = scratch(packed.wide ? 1 : 0);
  return packed;
}

}  // namespace

std::optional<PackedWeights> pack_weights(const mm_conv2d_s8_params& p, const Requantization& r,
                                          std::span<const std::int8_t> weights, std::span<const std::int32_t> bias) {
  if (p.groups != 1) return std::nullopt;
  const mm_packed_shape shape = mm_packed_conv2d_s8_shape(&p);
  const bool scarce = p.out_c > MM_PACKED_CHANNELS;
  auto packed = pack({{weights.begin(), weights.end()}, p.out_c, p.kernel_h * shape.runs, shape.run_bytes},
                     {p.output_offset, p.act_min, p.act_max}, r, bias, mm_packed_chunk(shape.blocks, scarce ? 1 : 0),
                     [&](int wide) { return mm_packed_conv2d_s8_scratch(&p, wide); });
  if (packed && packed->wide && p.out_c > MM_PACKED_WIDE_CHANNELS) return std::nullopt;
  return packed;
}

std::optional<PackedWeights> pack_weights(const mm_depthwise_conv2d_s8_params& p, const Requantization& r,
                                          std::span<const std::int8_t> weights, std::span<const std::int32_t> bias) {
  if (p.out_c != p.in_c || std::int64_t{p.kernel_h} * p.kernel_w > kMostTaps) return std::nullopt;
  const int taps = p.kernel_h * p.kernel_w, channels = p.out_c;
  Filters f{{}, channels, 1, taps};
  for (int o = 0; o < channels; ++o)
    for (int tap = 0; tap < taps; ++tap) f.weights.push_back(weights[static_cast<std::size_t>(tap * channels + o)]);
  PackedWeights packed = start(r, bias);
  if (!make_exact(f, {p.output_offset, p.act_min, p.act_max}, packed)) return std::nullopt;
  for (int o = 0; o < channels; ++o)
    for (int tap = 0; tap < taps; ++tap) packed.bias[static_cast<std::size_t>(o)] += p.input_offset * f.weight(o, tap);
  std::vector<int> order(static_cast<std::size_t>(taps));
  for (int tap = 0; tap < taps; ++tap)
    order[static_cast<std::size_t>(p.kernel_h == 3 && p.kernel_w == 3 ? mm_packed_depthwise_place[tap] : tap)] = tap;
  const auto weight = [&](int o, int t) {
    return o < channels && t < taps ? 2 * f.weight(o, order[static_cast<std::size_t>(t)]) : 0;
  };
  Stream stream(f, packed);
  for (int group = 0; group < channels; group += 4) {
    for (int o = group; o < group + 4; ++o) stream.put(2 * stream.bias(o));
    for (int t = 0; t < taps; t += 2)
      for (int o = group; o < group + 4; ++o) stream.put((weight(o, t) & 0xffff) | weight(o, t + 1) * 0x10000);
    for (int o = group; o < group + 4; ++o) stream.put(stream.multiplier(o));
    for (int o = group; o < group + 4; ++o) stream.put(stream.factor(group, o));
  }
  packed.bias.clear();
  packed.requantization = {};
  packed.column_words = mm_packed_depthwise_conv2d_s8_scratch(&p);
  return packed;
}

std::optional<PackedWeights> pack_weights(const mm_linear_s8_params& p, const Requantization& r,
                                          std::span<const std::int8_t> weights, std::span<const std::int32_t> bias) {
  return pack({{weights.begin(), weights.end()}, p.out_features, 1, p.in_features}, {p.output_offset, p.act_min, p.act_max}, r, bias,
              mm_packed_chunk((p.in_features + 3) / 4, 0), [&](int wide) { return mm_packed_linear_s8_scratch(&p, wide); });
}

}  // namespace micromind
