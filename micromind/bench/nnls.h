// Least squares with coefficients of at least 0, for a handful of unknowns.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace micromind {

inline constexpr std::size_t kLatencyTerms = 8;
using Terms = std::array<double, kLatencyTerms>;

struct Observation {
  Terms terms{};
  double value = 0;  ///< above 0
};

/// The x ≥ 0 that minimises Σ ((x·terms − value) / value)². Exact: it tries every set of unknowns that may be
/// other than 0 (128 of them), solves each and keeps the best whose solution is not negative; the optimum is
/// among these (Karush, Kuhn, Tucker). All zero for no observation. Throws Error for a value that is not
/// above 0.
Terms fit_not_negative(const std::vector<Observation>& observations);

}  // namespace micromind
