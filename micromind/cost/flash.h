// The two parts of the flash model (see cost.h).
#pragma once

#include <cstdint>

#include "micromind/graph/graph.h"

namespace micromind {

/// Bytes of a lowered node's constants in flash: weights, bias, multipliers, shifts, tables and the struct of its call.
std::int64_t constant_bytes(const Graph& lowered, const Node& node);

/// The part of it that grows with the widths: weights, int32 bias, and an int32 multiplier and an int8 shift for each
/// scale (one an output channel, or one), words each.
constexpr std::int64_t weighted_bytes(std::int64_t weights, std::int64_t outputs, std::int64_t scales) {
  const auto words = [](std::int64_t n) { return (n + 3) / 4 * 4; };
  return words(weights) + 4 * outputs + 4 * scales + words(scales);
}

/// Start-up code, vector table and `model_run` itself beside its calls, measured.
constexpr std::int64_t kStartUpBytes = 1400;
constexpr std::int64_t kCallBytes = 24;  ///< of model_run's code per layer

}  // namespace micromind
