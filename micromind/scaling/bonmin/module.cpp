// The module around Bonmin (COIN-OR): a Minlp as a Bonmin::TMINLP, solved by its non-linear branch and bound,
// B-BB.
#include <coin/BonBonminSetup.hpp>
#include <coin/BonCbc.hpp>
#include <coin/BonTMINLP.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "micromind/scaling/bonmin/minlp.h"

namespace micromind {
namespace {

using Ipopt::Index;
using Ipopt::Number;

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

class Adapter final : public Bonmin::TMINLP {
 public:
  explicit Adapter(Minlp& programme) : p_(programme), n_(programme.variables()), m_(programme.rows()) {
    gradient_.resize(at(n_));
    rows_.resize(at(m_));
    jacobian_.resize(at(n_) * at(m_));
  }

  bool get_nlp_info(Index& n, Index& m, Index& jacobian, Index& hessian,
                    Ipopt::TNLP::IndexStyleEnum& style) override {
    n = n_;
    m = m_;
    jacobian = n_ * m_;
    hessian = 0;
    for (int i = 0; i < n_; ++i) hessian += std::min(i + 1, p_.curved());
    style = Ipopt::TNLP::C_STYLE;
    return true;
  }
  bool get_variables_types(Index, VariableType* types) override {
    constexpr VariableType kinds[] = {CONTINUOUS, INTEGER, BINARY};
    for (int j = 0; j < n_; ++j) types[j] = kinds[static_cast<int>(p_.variable(j).kind)];
    return true;
  }
  bool get_variables_linearity(Index, Ipopt::TNLP::LinearityType* types) override {
    for (int j = 0; j < n_; ++j)
      types[j] = p_.variable(j).linear ? Ipopt::TNLP::LINEAR : Ipopt::TNLP::NON_LINEAR;
    return true;
  }
  bool get_constraints_linearity(Index, Ipopt::TNLP::LinearityType* types) override {
    for (int i = 0; i < m_; ++i) types[i] = p_.row(i).linear ? Ipopt::TNLP::LINEAR : Ipopt::TNLP::NON_LINEAR;
    return true;
  }
  bool get_bounds_info(Index, Number* x_low, Number* x_high, Index, Number* g_low, Number* g_high) override {
    for (int j = 0; j < n_; ++j) {
      x_low[j] = p_.variable(j).low;
      x_high[j] = p_.variable(j).high;
    }
    for (int i = 0; i < m_; ++i) {
      g_low[i] = std::max(p_.row(i).low, -1e20);
      g_high[i] = std::min(p_.row(i).high, 1e20);
    }
    return true;
  }
  bool get_starting_point(Index, bool, Number* x, bool init_z, Number*, Number*, Index, bool init_lambda,
                          Number*) override {
    for (int j = 0; j < n_; ++j) x[j] = p_.variable(j).start;
    return !init_z && !init_lambda;
  }

  bool eval_f(Index, const Number* x, bool, Number& f) override {
    visit(x);
    f = f_;
    return true;
  }
  bool eval_grad_f(Index, const Number* x, bool, Number* gradient) override {
    visit(x);
    std::copy(gradient_.begin(), gradient_.end(), gradient);
    return true;
  }
  bool eval_g(Index, const Number* x, bool, Index, Number* g) override {
    visit(x);
    std::copy(rows_.begin(), rows_.end(), g);
    return true;
  }
  bool eval_jac_g(Index, const Number* x, bool, Index, Index, Index* row, Index* column,
                  Number* values) override {
    if (values == nullptr) {
      for (int k = 0; k < n_ * m_; ++k) {
        row[k] = k / n_;
        column[k] = k % n_;
      }
      return true;
    }
    visit(x);
    std::copy(jacobian_.begin(), jacobian_.end(), values);
    return true;
  }
  bool eval_h(Index, const Number* x, bool, Number objective, Index, const Number* multipliers, bool, Index,
              Index* row, Index* column, Number* values) override {
    if (values != nullptr) {
      p_.hessian(x, objective, multipliers, values);
      return true;
    }
    for (int i = 0, k = 0; i < n_; ++i)
      for (int j = 0; j <= i && j < p_.curved(); ++j, ++k) {
        row[k] = i;
        column[k] = j;
      }
    return true;
  }
  bool eval_gi(Index, const Number* x, bool, Index i, Number& g) override {
    visit(x);
    g = rows_[at(i)];
    return true;
  }
  bool eval_grad_gi(Index, const Number* x, bool, Index i, Index& count, Index* column,
                    Number* values) override {
    count = n_;
    if (values == nullptr) {
      for (int j = 0; j < n_; ++j) column[j] = j;
      return true;
    }
    visit(x);
    std::copy_n(jacobian_.begin() + std::ptrdiff_t{i} * n_, n_, values);
    return true;
  }

  void finalize_solution(SolverReturn, Index, const Number*, Number) override {}
  const BranchingInfo* branchingInfo() const override { return nullptr; }
  const SosInfo* sosConstraints() const override { return nullptr; }

 private:
  // Ipopt asks for the same point several times.
  void visit(const Number* x) {
    if (!at_.empty() && std::equal(at_.begin(), at_.end(), x)) return;
    at_.assign(x, x + n_);
    p_.evaluate(x, f_, gradient_.data(), rows_.data(), jacobian_.data());
  }

  Minlp& p_;
  int n_, m_;
  std::vector<Number> at_, gradient_, rows_, jacobian_;
  Number f_ = 0;
};

// Giving the options as a string also keeps Bonmin from reading a bonmin.opt of the working folder.
std::string options(double seconds) {
  return "bonmin.algorithm B-BB\n"
         "bonmin.bb_log_level 0\nbonmin.nlp_log_level 0\nbonmin.lp_log_level 0\nbonmin.nlp_log_at_root "
         "0\nprint_level 0\nsb yes\n"
         "bonmin.variable_selection most-fractional\nbonmin.integer_tolerance 1e-5\n"
         "bonmin.allowable_fraction_gap 1e-5\nbonmin.allowable_gap 1e-4\n"
         "bonmin.nlp_failure_behavior fathom\nbonmin.num_retry_unsolved_random_point 0\n"
         "tol 1e-7\nmax_iter 200\n"
         "bonmin.time_limit " +
         std::to_string(seconds) + "\n";
}

void note(MinlpAnswer& answer, const std::string& text) {
  std::snprintf(answer.trouble, sizeof answer.trouble, "%s", text.c_str());
}

void solve(Minlp& programme, double seconds, double* x, MinlpAnswer& answer) {
  Bonmin::BonminSetup setup;
  setup.initializeOptionsAndJournalist();
  setup.readOptionsString(options(seconds));
  setup.initialize(Ipopt::SmartPtr<Bonmin::TMINLP>(new Adapter(programme)));
  Bonmin::Bab bab;
  bab(setup);
  answer.nodes = bab.numNodes();
  answer.infeasible = bab.mipStatus() == Bonmin::Bab::ProvenInfeasible;
  if (bab.bestSolution() == nullptr) return;
  answer.solved = true;
  answer.objective = bab.bestObj();
  std::copy_n(bab.bestSolution(), programme.variables(), x);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void micromind_bonmin_solve(Minlp& programme,
                                                                              double seconds, double* x,
                                                                              MinlpAnswer& answer) noexcept {
  answer = {};
  try {
    solve(programme, seconds, x, answer);
  } catch (Bonmin::TNLPSolver::UnsolvedError* e) {  // thrown as a pointer
    note(answer, e->errorName());
    delete e;
  } catch (Bonmin::OsiTMINLPInterface::SimpleError& e) {
    note(answer, e.message());
  } catch (CoinError& e) {
    note(answer, e.message());
  } catch (Ipopt::IpoptException& e) {
    note(answer, e.Message());
  } catch (std::exception& e) {
    note(answer, e.what());
  } catch (...) {
    note(answer, "an exception without a name");
  }
}

}  // namespace micromind
