// Weights laid out for cores with the vector extension (Cortex-M55, M85), as runtime/kernels/mve_s8.h and
// mve_depthwise_conv2d_s8.h read them.
#pragma once

#include "micromind/deploy/pack.h"

namespace micromind {

/// One stream of weights, biases (input_offset folded in) and factors, so `bias` and `requantization` of what is returned are
/// empty. Nothing where the kernels would not be exact or their scratch beyond 2 kB: a depth multiplier, a factor of 1
/// and more, a convolution's window of more than 2048 bytes. `weights` and `bias` are those of the call (whose own
/// pointers are not used).
std::optional<PackedWeights> pack_mve(const mm_conv2d_s8_params& params, const Requantization& requantization,
                                      std::span<const std::int8_t> weights, std::span<const std::int32_t> bias);
std::optional<PackedWeights> pack_mve(const mm_depthwise_conv2d_s8_params& params, const Requantization& requantization,
                                      std::span<const std::int8_t> weights, std::span<const std::int32_t> bias);
std::optional<PackedWeights> pack_mve(const mm_linear_s8_params& params, const Requantization& requantization,
                                      std::span<const std::int8_t> weights, std::span<const std::int32_t> bias);

}  // namespace micromind
