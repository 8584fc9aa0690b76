// Work shared among threads in parts that depend on the amount of work alone: sums made part by part are the same bytes
// on any number of threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>

#include "micromind/train/fused/kernels.h"

namespace micromind::fused {

constexpr Int kMostParts = 32;

inline Int part_count(Int n, Int least = 1) { return std::clamp<Int>(n / least, 1, kMostParts); }

/// Calls f(part, first, last) for each part of [0, n), of `least` items at least; `cost` is of one item in floats: small
/// work stays on one thread.
template <class F>
void for_parts(Int n, Int cost, F&& f, Int least = 1) {
  const Int parts = part_count(n, least);
  const Int worth = 16384;  // floats a thread takes at least
  const Int grain = std::max<Int>(1, worth * parts / std::max<Int>(1, n * cost));
  at::parallel_for(0, parts, grain, [&](Int begin, Int end) {
    for (Int p = begin; p < end; ++p) f(p, n * p / parts, n * (p + 1) / parts);
  });
}

}  // namespace micromind::fused
