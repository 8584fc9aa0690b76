// Solves a Minlp with Bonmin. CMake picks bonmin/solver.cpp, or no_bonmin/solver.cpp where Bonmin was not
// installed when micromind was built.
#pragma once

#include <vector>

#include "micromind/scaling/bonmin/minlp.h"

namespace micromind {

bool built_with_bonmin();

/// Runs in a process of its own: some of COIN-OR's checks end the program that calls it. Whatever happens to
/// it, the answer is then "not solved", with what is known of the reason. `x`: the solution. At most about
/// `seconds` of processor time, and five times as long in all. Throws Error that names the package where
/// Bonmin is not installed, at build time or now.
MinlpAnswer solve_with_bonmin(Minlp& programme, double seconds, std::vector<double>& x);

}  // namespace micromind
