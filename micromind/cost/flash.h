// The two parts of the flash model (see cost.h).
#pragma once

#include <cstdint>

#include "micromind/graph/graph.h"

namespace micromind {

/// Bytes of a lowered node's constants in flash: weights, bias, multipliers, shifts, tables and the struct of its call.
std::int64_t constant_bytes(const Graph& lowered, const Node& node);
std::int64_t call_bytes(const Graph& lowered, const Node& node);  ///< of these, the struct of the call

/// How many filters' weights lie in memory one after another.
struct FilterRuns {
  std::int64_t runs = 1;  ///< of a filter: rows of its window, or its taps where they are dilated
  std::int64_t taps = 1;  ///< of a run, each with all input channels (of a depthwise convolution: all taps)
};
FilterRuns filter_runs(const Conv2d& conv, bool depthwise);

/// The part of a layer's constants that grows with its widths: weights, and an int32 bias, multiplier and factor an output, as
/// the DSP extension's kernels read them: four outputs at a time, runs filled up to words, and a depthwise convolution's weights
/// in 16 bits and pairs of taps. Plain cores need a little less, vector cores more where a window is no multiple of 16 bytes.
constexpr std::int64_t weighted_bytes(FilterRuns filter, std::int64_t inputs, std::int64_t outputs, bool depthwise) {
  const std::int64_t weights = depthwise ? 4 * ((filter.taps + 1) / 2) : filter.runs * ((filter.taps * inputs + 3) / 4 * 4);
  return (outputs + 3) / 4 * 4 * (weights + 12);
}

/// Start-up code, vector table and `model_run` itself beside its calls, measured.
constexpr std::int64_t kStartUpBytes = 1400;
constexpr std::int64_t kCallBytes = 24;  ///< of model_run's code per layer

}  // namespace micromind
