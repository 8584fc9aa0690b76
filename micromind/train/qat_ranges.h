// The ranges of a network under quantisation-aware training, as the numbers that a checkpoint holds (qat.h).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "micromind/lower/lower.h"
#include "micromind/quantize/calibration.h"
#include "micromind/quantize/quantize.h"

namespace micromind {

constexpr const char* kRangesName = "qat.ranges";         ///< [values, 2]: min, max
constexpr const char* kLogRangesName = "qat.log_ranges";  ///< [values, 2]: θ of min and max

/// One range a value: min and max at `start`, times exp(θ) where there is one. With θ every value takes the range of the value
/// that stands for its scale group (learned ranges are one a group). `ranges`, `logs` hold two numbers a value.
std::vector<Range> effective_ranges(const Lowered& lowered, const ScaleGroups& groups, std::span<const float> ranges,
                                    std::span<const float> logs);

/// Ranges to start with: checked, and with `merge` those of a scale group united.
std::vector<Range> starting_ranges(const Lowered& lowered, const ScaleGroups& groups, const std::vector<Range>& ranges, bool merge);

}  // namespace micromind
