// Stands in for bonmin/solver.cpp where Bonmin was not installed when micromind was built.
#include "micromind/scaling/bonmin/solver.h"

#include "micromind/base/error.h"

namespace micromind {

bool built_with_bonmin() {
  return false;
}

MinlpAnswer solve_with_bonmin(Minlp&, double, std::vector<double>&) {
  fail_with_hint("bonmin",
                 "install coinor-libbonmin-dev and build micromind again, or use the solver 'exact', which "
                 "needs no Bonmin",
                 "this micromind was built without Bonmin");
}

}  // namespace micromind
