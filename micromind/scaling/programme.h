// The relaxation (relaxation.h) as a programme that a solver understands.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "micromind/scaling/bonmin/minlp.h"
#include "micromind/scaling/jet.h"
#include "micromind/scaling/search.h"

namespace micromind {

/// The configurations of one combination of discrete choices as one, nothing rounded: widths are forms of the
/// knobs.
struct Combination {
  int configuration = 0;  ///< the widest of them
  Configuration smooth;   ///< forms and fixed widths; times alpha where there is one
  double s_low = 0, s_high = 0;
  std::vector<double> wholes;  ///< its whole numbers, in the order of Programme::whole_names()
};

/// Resources of a combination at (alpha, S, beta), as numbers or jets.
template <class Number>
Resources<Number> smooth_use(const Structure& structure, const Configuration& smooth, const Number& alpha,
                             const Number& s, const Number& beta) {
  std::vector<Number> x = structure.cost->variables<Number>();
  for (std::size_t i = 0; i < structure.rules.size(); ++i) {
    const SlotRule& rule = structure.rules[i];
    if (rule.form < 0) {
      x[i] = alpha * Number(static_cast<double>(smooth.fixed[i]));
      continue;
    }
    const auto f = static_cast<std::size_t>(rule.form);
    const double scale = static_cast<double>(structure.roundings[f].unit) * rule.times / rule.by;
    x[i] = alpha * s * (Number(scale * smooth.forms[f].s) + Number(scale * smooth.forms[f].t) * beta);
  }
  return structure.cost->relax<Number>(x);
}

class Programme final : public Minlp {
 public:
  Programme(const Lattice& lattice, const SearchGoal& goal);

  /// None: bounds on the resources rule every combination out.
  const std::vector<Combination>& combinations() const { return combinations_; }
  const std::vector<std::string>& whole_names() const { return whole_names_; }

  /// Variables: log alpha, log S, log beta; a binary for each combination; the whole numbers.
  int variables() const override {
    return kKnobs + static_cast<int>(combinations_.size() + whole_names_.size());
  }
  /// Rows: resources with a weight or a limit; Σ z = 1; the whole numbers; two for S where its range depends
  /// on z.
  int rows() const override;
  Variable variable(int j) const override;
  Row row(int i) const override;
  void evaluate(const double* x, double& f, double* gradient, double* g, double* jacobian) override;
  int curved() const override { return kKnobs; }
  void hessian(const double* x, double objective, const double* multipliers, double* triangle) override;

  static constexpr int kKnobs = 3;

 private:
  using LogUse = std::array<Jet, kResources>;
  void collect();
  void drop_impossible();
  void name_wholes();
  LogUse log_use(const Combination& c, const double* knobs) const;
  void visit(const double* x);

  const Lattice& lattice_;
  const SearchGoal& goal_;
  std::vector<Combination> combinations_;
  std::vector<std::string> whole_names_;
  std::vector<int> active_;  // resources
  std::array<double, kKnobs> low_{}, high_{};
  bool s_varies_ = false;
  std::vector<double> knobs_;  // that jets_ are of
  std::vector<LogUse> jets_;   // one a combination
};

}  // namespace micromind
