// Weights laid out for cores with the DSP extension, as runtime/kernels/packed_s8.h reads them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "micromind/quantize/calls.h"

namespace micromind {

struct PackedWeights {
  std::vector<std::int8_t> bytes;  ///< to be aligned to words
  std::int64_t column_words = 0;   ///< scratch that the kernel takes, uint32_t
  bool wide = false;               ///< the layer's kernel is mm_packed_wide_…
  /// Of a wide layer; in others they lie in `bytes`, but for channels whose output is the same whatever the input (networks have channels that training
  /// let die: tiny weights, a bias beyond 2^30): these have no weights there, and a bias and factor that give that output.
  std::vector<std::int32_t> bias;
  Requantization requantization;
  bool operator==(const PackedWeights&) const = default;
};

/// Lays out [out_c][kernel_h][kernel_w][in_c]. Nothing for several groups, for a weight of -128 whose byte cannot be lowered by one,
/// and for a wide layer of more than MM_PACKED_WIDE_CHANNELS channels. `weights` and `bias` are those of the call (whose own
/// pointers are not used).
std::optional<PackedWeights> pack_weights(const mm_conv2d_s8_params& params, const Requantization& requantization,
                                          std::span<const std::int8_t> weights, std::span<const std::int32_t> bias);

/// Lays out [kernel_h][kernel_w][channels]. Nothing for other depth multipliers than 1, factors of 1/4 and more, sums beyond ±2^29.
std::optional<PackedWeights> pack_weights(const mm_depthwise_conv2d_s8_params& params, const Requantization& requantization,
                                          std::span<const std::int8_t> weights, std::span<const std::int32_t> bias);

/// Lays out [out_features][in_features].
std::optional<PackedWeights> pack_weights(const mm_linear_s8_params& params, const Requantization& requantization,
                                          std::span<const std::int8_t> weights, std::span<const std::int32_t> bias);

}  // namespace micromind
