// Weights [R, …] as matrices with R rows, and their gradients added up from parts: a few loops, since many small operators of
// libtorch take longer than what they compute.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "micromind/train/fused/kernels.h"

namespace micromind::fused {

/// [R, …] → [C, R].
at::Tensor turned(const at::Tensor& weight);
/// [rows, columns] → [columns, rows].
void turn_to(const float* matrix, Int rows, Int columns, float* result);

/// sums [P, …] added up in the first part, which is returned.
float* add_parts(at::Tensor& sums);

/// The gradient of `weight` [R, …] from sums [P, C, R] over parts, added up in place: scale[r]·sum + more[r]·spread[r, c], as
/// far as these are given.
at::Tensor add_up_turned(at::Tensor& sums, const at::Tensor& weight, const float* scale = nullptr, const float* more = nullptr,
                         const float* spread = nullptr);
/// The same from sums [P, R, C].
at::Tensor add_up(at::Tensor& sums, const at::Tensor& weight);

/// Whether a weights' gradient [out, in] is better made turned: its columns are the channels that fill whole vectors better.
inline bool better_turned(std::int64_t out, std::int64_t in) {
  const auto idle = [](std::int64_t n) { return static_cast<double>((n + 15) / 16 * 16) / static_cast<double>(n); };
  return idle(out) < idle(in);
}

}  // namespace micromind::fused
