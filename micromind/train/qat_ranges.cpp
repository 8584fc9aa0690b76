#include "micromind/train/qat_ranges.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

std::vector<Range> effective_ranges(const Lowered& lowered, const ScaleGroups& groups, std::span<const float> ranges,
                                    std::span<const float> logs) {
  std::vector<Range> list(ranges.size() / 2);
  for (std::size_t v = 0; v < list.size(); ++v) list[v] = {ranges[2 * v], ranges[2 * v + 1]};
  if (logs.empty()) return list;
  for (std::size_t v = 0; v < groups.root.size(); ++v) {
    const std::size_t root = at(lowered.source_value[at(groups.root[v])]);
    list[at(lowered.source_value[v])] = {ranges[2 * root] * std::exp(logs[2 * root]), ranges[2 * root + 1] * std::exp(logs[2 * root + 1])};
  }
  return list;
}

std::vector<Range> starting_ranges(const Lowered& lowered, const ScaleGroups& groups, const std::vector<Range>& ranges, bool merge) {
  for (std::size_t v = 0; v < ranges.size(); ++v)
    if (!std::isfinite(ranges[v].min) || !std::isfinite(ranges[v].max) || ranges[v].min > 0 || ranges[v].max < 0)
      fail_with_hint("qat", "take them from a Calibrator", "value {}: the range [{}, {}] is not finite with 0 inside", v, ranges[v].min,
                     ranges[v].max);
  std::vector<Range> merged = ranges;
  if (!merge) return merged;
  std::vector<Range> group(groups.root.size());
  for (std::size_t v = 0; v < group.size(); ++v) {
    const Range& r = ranges[at(lowered.source_value[v])];
    Range& m = group[at(groups.root[v])];
    m = {std::min(m.min, r.min), std::max(m.max, r.max)};
  }
  for (std::size_t v = 0; v < group.size(); ++v) merged[at(lowered.source_value[v])] = group[at(groups.root[v])];
  return merged;
}

}  // namespace micromind
