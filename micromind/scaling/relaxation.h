// The smooth relaxation of a lattice and a goal, a mixed-integer non-linear programme, and its solution by
// Bonmin (COIN-OR).
//
// Without rounding, a network's widths are products and sums of the real knobs, its resources the polynomials
// of width_cost.h. In the logarithms of the knobs,
//
//   a = log alpha (where the family has a third knob),  s = log S,  b = log beta = log (T / S),
//
// every width is a sum of exponentials, so the logarithm of every resource of one combination c of discrete
// choices, L_c, is convex. With one binary z_c for each combination, and each of its whole numbers (depth,
// gamma, resolution, …) as an integer variable N tied to them:
//
//   maximise    Σ_r weight_r · L_r          L_r = Σ_c z_c · L_c,r(a, s, b)
//   subject to  log least_r ≤ L_r ≤ log most_r
//               Σ_c z_c = 1,   N = Σ_c N_c · z_c
//               Σ_c z_c · log S_low,c ≤ s ≤ Σ_c z_c · log S_high,c
//
// A convex function is maximised, so Bonmin's answer is a local optimum: a start for the exact search, not a
// proof. The search (search.h) proves optimality with it or without.
#pragma once

#include <cstdint>
#include <string>

#include "micromind/scaling/bonmin/solver.h"
#include "micromind/scaling/search.h"

namespace micromind {

/// Bonmin's answer, before rounding.
struct RelaxedOptimum {
  bool solved = false;
  double objective = 0;     ///< Σ weight · log(use)
  Resources<double> use{};  ///< without rounding
  int configuration =
      -1;            ///< a configuration of the combination of choices found; alpha below is not its own
  double alpha = 0;  ///< 0: the family has no third knob
  Point point;       ///< of the knobs' plane
  std::int64_t combinations = 0;  ///< binaries: those that no bound on their resources rules out
  int nodes = 0;                  ///< of Bonmin's branch and bound
  double ms = 0;                  ///< with setting up and loading Bonmin (some 10 ms)
  std::string trouble;            ///< what Bonmin said when it gave up
};

/// Throws Error, naming the package, where Bonmin is not installed. SearchGoal::quality is not part of the
/// programme. `seconds`: of processor time, for Bonmin.
RelaxedOptimum solve_relaxation(const Lattice& lattice, const SearchGoal& goal, double seconds = 2);

/// Rounds onto the lattice: the best feasible network among the cells that a short walk from the relaxed
/// point meets, over the nearest configurations and towards smaller knobs; of another choice only where its
/// own has none. Its `cell` is not set. None: nothing there is feasible.
Found round_relaxed(const Lattice& lattice, const SearchGoal& goal, const RelaxedOptimum& relaxed);

/// search(), started just below the value of the rounded network. Its proof is the search's own.
SearchResult search_from(const Lattice& lattice, const SearchGoal& goal, const Found& start,
                         SearchOptions options = {});

/// The relaxed optimum as the family's options, knobs as real numbers.
nlohmann::json relaxed_options(const Lattice& lattice, const RelaxedOptimum& relaxed);

/// Resources at real knobs, without rounding: what the programme is made of.
Resources<double> relaxed_use(const Lattice& lattice, int configuration, double alpha, const Point& point);

}  // namespace micromind
