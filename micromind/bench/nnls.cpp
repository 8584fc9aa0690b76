#include "micromind/bench/nnls.h"

#include <cmath>
#include <optional>
#include <utility>

#include "micromind/base/error.h"

namespace micromind {
namespace {

struct NormalEquations {
  std::array<Terms, kLatencyTerms> matrix{};
  Terms right{};
  double constant = 0;
};

NormalEquations normal_equations(const std::vector<Observation>& observations) {
  NormalEquations n;
  for (const Observation& o : observations) {
    if (!(o.value > 0)) fail("bench", "expected a figure above 0 to fit, found {}", o.value);
    Terms row{};
    for (std::size_t i = 0; i < kLatencyTerms; ++i) row[i] = o.terms[i] / o.value;
    for (std::size_t i = 0; i < kLatencyTerms; ++i) {
      n.right[i] += row[i];
      for (std::size_t j = 0; j < kLatencyTerms; ++j) n.matrix[i][j] += row[i] * row[j];
    }
    n.constant += 1;
  }
  return n;
}

// Gauss with pivots on the unknowns in `set`, scaled by the diagonal; nothing where they depend on each
// other.
std::optional<Terms> solve(const NormalEquations& n, unsigned set) {
  std::vector<std::size_t> index;
  for (std::size_t i = 0; i < kLatencyTerms; ++i)
    if ((set >> i & 1) != 0) index.push_back(i);
  const std::size_t m = index.size();
  std::vector<std::vector<double>> a(m, std::vector<double>(m + 1));
  std::vector<double> scale(m);
  for (std::size_t i = 0; i < m; ++i) {
    scale[i] = std::sqrt(n.matrix[index[i]][index[i]]);
    if (scale[i] == 0) return std::nullopt;
  }
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < m; ++j) a[i][j] = n.matrix[index[i]][index[j]] / (scale[i] * scale[j]);
    a[i][m] = n.right[index[i]] / scale[i];
  }
  for (std::size_t c = 0; c < m; ++c) {
    std::size_t pivot = c;
    for (std::size_t r = c + 1; r < m; ++r)
      if (std::abs(a[r][c]) > std::abs(a[pivot][c])) pivot = r;
    if (std::abs(a[pivot][c]) < 1e-11) return std::nullopt;
    std::swap(a[c], a[pivot]);
    for (std::size_t r = 0; r < m; ++r) {
      if (r == c) continue;
      const double factor = a[r][c] / a[c][c];
      for (std::size_t k = c; k <= m; ++k) a[r][k] -= factor * a[c][k];
    }
  }
  Terms x{};
  for (std::size_t i = 0; i < m; ++i) x[index[i]] = a[i][m] / a[i][i] / scale[i];
  return x;
}

double residual(const NormalEquations& n, const Terms& x) {
  double sum = n.constant;
  for (std::size_t i = 0; i < kLatencyTerms; ++i) {
    sum -= 2 * x[i] * n.right[i];
    for (std::size_t j = 0; j < kLatencyTerms; ++j) sum += x[i] * x[j] * n.matrix[i][j];
  }
  return sum;
}

}  // namespace

Terms fit_not_negative(const std::vector<Observation>& observations) {
  const NormalEquations n = normal_equations(observations);
  Terms best{};
  double least = residual(n, best);
  for (unsigned set = 1; set < 1u << kLatencyTerms; ++set) {
    const std::optional<Terms> x = solve(n, set);
    if (!x) continue;
    bool negative = false;
    for (const double v : *x) negative = negative || v < 0;
    if (negative) continue;
    if (const double r = residual(n, *x); r < least - 1e-12) {
      least = r;
      best = *x;
    }
  }
  return best;
}

}  // namespace micromind
