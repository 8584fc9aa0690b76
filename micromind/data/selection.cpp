#include "micromind/data/selection.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/data/streams.h"

namespace micromind {
namespace {

using Indices = std::vector<std::int64_t>;

std::vector<Indices> by_class(std::span<const int> labels, std::span<const std::int64_t> indices,
                              int classes) {
  std::vector<Indices> groups(static_cast<std::size_t>(classes));
  for (const std::int64_t i : indices)
    groups[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])].push_back(i);
  return groups;
}

/// Per class, so that rare classes are in both parts: at least one sample of two or more goes to either side.
Indices hold_out(std::span<const int> labels, const Indices& all, int classes, double share,
                 std::uint64_t seed, bool held) {
  Indices part;
  std::vector<Indices> groups = by_class(labels, all, classes);
  for (std::size_t c = 0; c < groups.size(); ++c) {
    Indices& group = groups[c];
    Random random(seed, {kHoldOutStream, c});
    random.shuffle(std::span<std::int64_t>(group));
    const auto n = static_cast<std::int64_t>(group.size());
    std::int64_t count = std::llround(share * static_cast<double>(n));
    if (n >= 2) count = std::clamp<std::int64_t>(count, 1, n - 1);
    const auto cut = group.begin() + std::min(count, n);
    part.insert(part.end(), held ? group.begin() : cut, held ? cut : group.end());
  }
  std::sort(part.begin(), part.end());
  return part;
}

/// One of each class in turn, each class in an order of its own.
Indices balanced(std::span<const int> labels, const Indices& all, int classes, std::int64_t limit,
                 std::uint64_t seed) {
  std::vector<Indices> groups = by_class(labels, all, classes);
  for (std::size_t c = 0; c < groups.size(); ++c) {
    Random random(seed, {kLimitStream, c});
    random.shuffle(std::span<std::int64_t>(groups[c]));
  }
  Indices part;
  for (std::size_t turn = 0; static_cast<std::int64_t>(part.size()) < limit; ++turn)
    for (const Indices& group : groups)
      if (turn < group.size() && static_cast<std::int64_t>(part.size()) < limit) part.push_back(group[turn]);
  return part;
}

}  // namespace

bool wants_test_files(const DatasetOptions& options) {
  return options.split == DataSplit::test ||
         (options.split == DataSplit::validation && options.validation_share == 0);
}

Indices select_samples(std::span<const int> labels, int classes, const DatasetOptions& options) {
  if (!(options.validation_share >= 0 && options.validation_share < 1))
    fail("data", "validation_share: expected a value in [0, 1), found {}", options.validation_share);
  if (options.limit < 0) fail("data", "limit: expected 0 (all) or a count, found {}", options.limit);
  Indices part(labels.size());
  for (std::size_t i = 0; i < part.size(); ++i) part[i] = static_cast<std::int64_t>(i);
  if (options.validation_share > 0 && options.split != DataSplit::test)
    part = hold_out(labels, part, classes, options.validation_share, options.seed,
                    options.split == DataSplit::validation);
  if (options.limit > 0 && options.limit < static_cast<std::int64_t>(part.size()))
    part = balanced(labels, part, classes, options.limit, options.seed);
  if (part.empty())
    fail_with_hint("data", "lower validation_share or add images",
                   "{}: the {} part is empty ({} samples in all)", options.name, split_name(options.split),
                   labels.size());
  return part;
}

}  // namespace micromind
