// The front of a family over RAM × flash × MACs: what each mix of budgets buys.
//
//   const Front front = design_front({.family = "phinet", .input = {3, 160, 160}, .classes = 20, .target = load_target("stm32h743"),
//                                     .budget = {.macs = 60e6}});
//   front.points[0].design.options     // the smallest; the last is the largest
//
// As long as no accuracy is measured, a network of a family is better than another one only by what it makes of its
// budgets: every network of the lattice that no other undercuts in all three resources would be on the front, and those are
// most of them. So the front is sampled where it is asked for, at budgets:
//
//   budgets   `steps` on each axis at equal ratios, from the least that any network of the space takes (of that resource
//             alone) to the request's own budget; where the request has none, to what the best network of the request
//             uses. The front's corner is therefore the answer of design().
//   points    the best network, in the objective, for every combination that some network fits: solved exactly, by the
//             same search and with the same proof as design().
//   merged    networks that answer several combinations are one point, which lists them.
//   dropped   a network when another point uses no more of any of the three and is worth as much in the objective.
//
// A best network that fits a tighter combination too is the best one there, and where nothing fits, nothing fits within
// less: most combinations need no search of their own.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "micromind/scaling/design.h"

namespace micromind {

/// RAM, flash, MACs: the axes of a front.
inline constexpr std::array<Resource, 3> kFrontAxes = {kRam, kFlash, kMacs};

struct FrontPoint {
  Design design;                            ///< its resources: use against the tightest of `budgets`
  std::vector<Resources<double>> budgets;   ///< the combinations that it is the best network for; cycles: unlimited
  double use(Resource resource) const;      ///< bytes, bytes, MACs
};

struct Front {
  std::array<std::vector<double>, 3> budgets;  ///< ascending, one list an axis of kFrontAxes
  std::vector<FrontPoint> points;              ///< by MACs, then RAM, then flash, ascending
  int combinations = 0;                        ///< of budgets
  int infeasible = 0;                          ///< of them without a network
  int searches = 0;                            ///< of them that needed a search
  int dropped = 0;                             ///< networks that another point makes superfluous
  double ms = 0;
};

/// Throws Error as design() does for the request, and unless 1 ≤ steps ≤ 16; Interrupted when the user stops it.
Front design_front(const DesignRequest& request, int steps = 4);

/// `count` whole numbers at equal ratios from `low` to `high`, both included (`high` as it is); fewer where they coincide,
/// `high` alone for count = 1.
std::vector<double> budget_steps(double low, double high, int count);

}  // namespace micromind
