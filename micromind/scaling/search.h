// The exact search: branch and bound over a lattice (lattice.h).
//
// A node is a configuration and a polygon of its plane. Over the polygon every linear form lies between its values at
// two corners, every width between the rounded ones, and since all resources grow with every width (width_cost.h), so do
// they: the widths at the low ends cost at least as little as any network in the polygon, those at the high ends at least
// as much. That bounds the objective from above and proves polygons infeasible; nothing else is assumed. In particular
// the networks' cost need not be monotone in the knobs across configurations (a residual appears when two widths meet).
// A node whose widths are all decided is a network; others are cut at the width threshold nearest to the middle of the
// most undecided form. The best bound is taken first, so that the search ends with a proof: no open polygon can hold
// anything better.
//
// Networks that only exist on a strip of knob values thinner than 1e-9 of a width are not told from their neighbours.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "micromind/scaling/lattice.h"

namespace micromind {

inline constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// Maximise Σ weight_r · log(use_r) subject to least_r ≤ use_r ≤ most_r and Σ quality_r · log(use_r) > quality_above.
struct SearchGoal {
  Resources<double> weight{};  ///< negative: the less the better; 0: of no interest
  Resources<double> least{0, 0, 0, 0};
  Resources<double> most{kUnlimited, kUnlimited, kUnlimited, kUnlimited};
  Resources<double> quality{};  ///< ≥ 0; all 0: no such constraint
  double quality_above = -kUnlimited;

  double value(const Resources<double>& use) const;
};

/// A network that the search found.
struct Found {
  int configuration = -1;  ///< −1: none
  Point point;             ///< of the configuration's plane, inside the network's cell
  Polygon cell;
  std::vector<std::int64_t> widths;  ///< one a slot
  Resources<double> use{};
  double value = -kUnlimited;
  bool any() const { return configuration >= 0; }
};

struct SearchOptions {
  std::int64_t node_limit = 20'000'000;
  std::function<bool(const Found&)> accept;  ///< last word on a network that would be the best so far; empty: yes
  double start_value = -kUnlimited;          ///< only networks better than this are of interest
};

struct SearchResult {
  Found best;
  double bound = -kUnlimited;   ///< no network of the lattice is worth more
  std::int64_t nodes = 0;       ///< polygons looked at
  std::int64_t candidates = 0;  ///< networks costed
  std::int64_t refused = 0;     ///< networks that would have been the best so far and were not accepted
  bool complete = true;         ///< false: the node limit came first
  /// How much better than `best` a network could still be: a share, 0 when the search is complete.
  double gap() const;
};

SearchResult search(const Lattice& lattice, const SearchGoal& goal, const SearchOptions& options = {});

/// Every network of the lattice, by cutting without bounds: for tests and small spaces. `visit` returns false to stop.
void for_each_network(const Lattice& lattice, const std::function<bool(const Found&)>& visit);

}  // namespace micromind
