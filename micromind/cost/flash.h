// The two parts of the flash model (see cost.h).
#pragma once

#include <cstdint>

#include "micromind/graph/graph.h"

namespace micromind {

/// Bytes of a lowered node's constants in flash: weights, bias, multipliers, shifts, tables and the struct of its call.
std::int64_t constant_bytes(const Graph& lowered, const Node& node);

/// Start-up code, vector table and `model_run` itself beside its calls, measured.
constexpr std::int64_t kStartUpBytes = 1400;
constexpr std::int64_t kCallBytes = 24;  ///< of model_run's code per layer

}  // namespace micromind
