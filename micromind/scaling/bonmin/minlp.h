// What stands between the library and Bonmin: a mixed-integer non-linear programme with dense derivatives.
// Bonmin and all that it loads (Ipopt, Cbc, Clp, MUMPS, LAPACK: 27 libraries, 10 ms) live in a module that is
// loaded only when a programme is to be solved; module and library know each other by this file alone. It
// includes nothing of either.
#pragma once

namespace micromind {

/// minimise f(x) subject to row_low ≤ g(x) ≤ row_high, low ≤ x ≤ high, x_j whole where kind says so.
class Minlp {
 public:
  enum class Kind { real, integer, binary };
  struct Variable {
    Kind kind = Kind::real;
    double low = 0, high = 1, start = 0;
    bool linear = false;  ///< appears in f and g only in linear terms
  };
  struct Row {
    double low = 0, high = 0;
    bool linear = false;
  };

  virtual ~Minlp() = default;
  virtual int variables() const = 0;
  virtual int rows() const = 0;
  virtual Variable variable(int j) const = 0;
  virtual Row row(int i) const = 0;

  /// f, its gradient, g, and g's Jacobian by rows (dense), at x. Whoever calls owns all arrays.
  virtual void evaluate(const double* x, double& f, double* gradient, double* g, double* jacobian) = 0;

  /// Second derivatives are 0 but where one of the two variables is among the first curved().
  virtual int curved() const { return variables(); }
  /// Lower triangle by rows, columns below curved(), of objective · ∇²f + Σ multiplier_i · ∇²g_i.
  virtual void hessian(const double* x, double objective, const double* multipliers, double* triangle) = 0;
};

struct MinlpAnswer {
  bool solved = false;      ///< x is feasible and whole where it must be
  bool infeasible = false;  ///< Bonmin says so; of a programme that is not convex that is no proof
  double objective = 0;
  int nodes = 0;           ///< of Bonmin's branch and bound
  char trouble[256] = "";  ///< what an exception of the solver said
};

/// The module's one entry. Prints nothing, reads and writes no file, throws nothing. `x` has room for all
/// variables.
extern "C" using MinlpSolve =
    void(Minlp & programme, double seconds, double* x, MinlpAnswer& answer) noexcept;
inline constexpr const char* kMinlpSolve = "micromind_bonmin_solve";

}  // namespace micromind
