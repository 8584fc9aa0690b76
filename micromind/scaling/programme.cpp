#include "micromind/scaling/programme.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace micromind {
namespace {

using nlohmann::json;

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

// A choice as a number: whole numbers, booleans, the longer side of the image. Others are none.
bool whole_of(const std::string& name, const json& value, double& whole) {
  if (value.is_boolean())
    whole = value.get<bool>() ? 1 : 0;
  else if (value.is_number_integer())
    whole = value.get<double>();
  else if (name == "input_shape")
    whole = std::max(value[1].get<double>(), value[2].get<double>());
  else
    return false;
  return true;
}

}  // namespace

Programme::Programme(const Lattice& lattice, const SearchGoal& goal) : lattice_(lattice), goal_(goal) {
  for (int r = 0; r < kResources; ++r)
    if (goal.weight[at(r)] != 0 || goal.most[at(r)] < kUnlimited || goal.least[at(r)] > 0)
      active_.push_back(r);
  collect();
  drop_impossible();
  name_wholes();
}

// Configurations of the same choice and the same forms are one combination. The widest stands for it: there
// the fewest widths meet by rounding.
void Programme::collect() {
  std::map<std::pair<int, std::size_t>, std::size_t> known;
  bool has_ratio = false, has_alpha = false;
  for (int i = 0; i < static_cast<int>(lattice_.configurations.size()); ++i) {
    const Configuration& c = lattice_.configurations[at(i)];
    const Polygon::Range s = c.region.range({1, 0});
    const auto [it, added] = known.try_emplace({c.choice, c.forms.size()}, combinations_.size());
    if (added) combinations_.push_back({.configuration = i, .s_low = s.low, .s_high = s.high});
    Combination& combination = combinations_[it->second];
    const Configuration& widest = lattice_.configurations[at(combination.configuration)];
    if (c.alpha > widest.alpha || s.high > combination.s_high) combination.configuration = i;
    combination.s_low = std::min(combination.s_low, s.low);
    combination.s_high = std::max(combination.s_high, s.high);
  }
  for (Combination& c : combinations_) {
    c.smooth = lattice_.family->unrounded(lattice_.configurations[at(c.configuration)]);
    for (const LinearForm& form : c.smooth.forms) has_ratio |= form.t != 0;
    has_alpha |= c.smooth.alpha > 0;
  }
  const Lattice::Limits& limits = lattice_.limits;
  low_ = {has_alpha ? std::log(limits.alpha_low) : 0, INFINITY, has_ratio ? std::log(limits.ratio_low) : 0};
  high_ = {has_alpha ? std::log(limits.alpha_high) : 0, -INFINITY,
           has_ratio ? std::log(limits.ratio_high) : 0};
}

// Resources grow with every knob: a combination is out when its smallest network is too large or its largest
// too small.
void Programme::drop_impossible() {
  std::erase_if(combinations_, [&](const Combination& c) {
    const Structure& s = lattice_.structures[at(c.smooth.structure)];
    const auto use = [&](const std::array<double, kKnobs>& ends, double s_end) {
      return smooth_use<double>(s, c.smooth, std::exp(ends[0]), s_end, std::exp(ends[2]));
    };
    const Resources<double> least = use(low_, c.s_low), most = use(high_, c.s_high);
    return std::any_of(active_.begin(), active_.end(), [&](int r) {
      return least[at(r)] > goal_.most[at(r)] || most[at(r)] < goal_.least[at(r)];
    });
  });
  for (const Combination& c : combinations_) {
    s_varies_ |= c.s_low != combinations_.front().s_low || c.s_high != combinations_.front().s_high;
    low_[1] = std::min(low_[1], std::log(c.s_low));
    high_[1] = std::max(high_[1], std::log(c.s_high));
  }
}

// The whole numbers in which combinations differ.
void Programme::name_wholes() {
  std::vector<json> options;
  for (const Combination& c : combinations_)
    options.push_back(lattice_.family->options(c.smooth, c.s_low, 1));
  if (options.empty()) return;
  for (const auto& [name, first] : options.front().items()) {
    std::vector<double> values(options.size());
    bool whole = true, differs = false;
    for (std::size_t i = 0; i < options.size(); ++i) {
      whole = whole && whole_of(name, options[i][name], values[i]);
      differs |= whole && values[i] != values[0];
    }
    if (!whole || !differs) continue;
    whole_names_.push_back(name == "input_shape" ? "resolution" : name);
    for (std::size_t i = 0; i < options.size(); ++i) combinations_[i].wholes.push_back(values[i]);
  }
}

int Programme::rows() const {
  return static_cast<int>(active_.size() + 1 + whole_names_.size()) + (s_varies_ ? 2 : 0);
}

Minlp::Variable Programme::variable(int j) const {
  if (j < kKnobs)
    return {Kind::real, low_[at(j)], high_[at(j)], 0.5 * (low_[at(j)] + high_[at(j)]),
            low_[at(j)] == high_[at(j)]};
  const std::size_t c = at(j - kKnobs);
  const auto count = static_cast<double>(combinations_.size());
  if (c < combinations_.size()) return {Kind::binary, 0, 1, 1 / count, false};
  Variable v{Kind::integer, INFINITY, -INFINITY, 0, true};
  for (const Combination& combination : combinations_) {
    const double whole = combination.wholes[c - combinations_.size()];
    v.low = std::min(v.low, whole);
    v.high = std::max(v.high, whole);
    v.start += whole / count;
  }
  return v;
}

Minlp::Row Programme::row(int i) const {
  const auto resources = static_cast<int>(active_.size());
  if (i < resources) {
    const std::size_t r = at(active_[at(i)]);
    return {goal_.least[r] > 0 ? std::log(goal_.least[r]) : -INFINITY, std::log(goal_.most[r]), false};
  }
  i -= resources;
  if (i == 0) return {1, 1, true};
  if (i <= static_cast<int>(whole_names_.size())) return {0, 0, true};
  return {0, INFINITY, true};
}

Programme::LogUse Programme::log_use(const Combination& c, const double* knobs) const {
  const auto knob = [&](std::size_t i) {
    return low_[i] == high_[i] ? Jet(std::exp(low_[i])) : exp(Jet::variable(knobs[i], i));
  };
  const Resources<Jet> use =
      smooth_use<Jet>(lattice_.structures[at(c.smooth.structure)], c.smooth, knob(0), knob(1), knob(2));
  LogUse logs{};
  for (const int r : active_)
    if (use[at(r)].value > 1) logs[at(r)] = log(use[at(r)]);  // no cycles: no latency model
  return logs;
}

void Programme::visit(const double* x) {
  if (!knobs_.empty() && std::equal(knobs_.begin(), knobs_.end(), x)) return;
  knobs_.assign(x, x + kKnobs);
  jets_.clear();
  for (const Combination& c : combinations_) jets_.push_back(log_use(c, x));
}

void Programme::evaluate(const double* x, double& f, double* gradient, double* g, double* jacobian) {
  visit(x);
  const std::size_t n = at(variables()), combinations = combinations_.size(), wholes = whole_names_.size();
  const double* z = x + kKnobs;
  f = 0;
  std::fill_n(gradient, n, 0.0);
  std::fill_n(jacobian, n * at(rows()), 0.0);
  double* row = jacobian;
  for (const int r : active_) {
    double sum = 0;
    for (std::size_t c = 0; c < combinations; ++c) {
      const Jet& l = jets_[c][at(r)];
      sum += z[c] * l.value;
      row[kKnobs + c] = l.value;
      for (std::size_t k = 0; k < kKnobs; ++k) row[k] += z[c] * l.d[k];
    }
    *g++ = sum;
    f -= goal_.weight[at(r)] * sum;
    for (std::size_t j = 0; j < n; ++j) gradient[j] -= goal_.weight[at(r)] * row[j];
    row += n;
  }
  // Linear rows: coefficients of z, then of one other variable.
  const auto linear = [&](auto coefficient, std::size_t variable, double of_variable) {
    double sum = 0;
    for (std::size_t c = 0; c < combinations; ++c) {
      row[kKnobs + c] = coefficient(combinations_[c]);
      sum += row[kKnobs + c] * z[c];
    }
    if (of_variable != 0) {
      row[variable] = of_variable;
      sum += of_variable * x[variable];
    }
    *g++ = sum;
    row += n;
  };
  linear([](const Combination&) { return 1.0; }, 0, 0);
  for (std::size_t w = 0; w < wholes; ++w)
    linear([w](const Combination& c) { return c.wholes[w]; }, kKnobs + combinations + w, -1);
  if (!s_varies_) return;
  linear([](const Combination& c) { return -std::log(c.s_low); }, 1, 1);
  linear([](const Combination& c) { return std::log(c.s_high); }, 1, -1);
}

void Programme::hessian(const double* x, double objective, const double* multipliers, double* triangle) {
  visit(x);
  const std::size_t n = at(variables());
  constexpr std::size_t corner =
      kKnobs * (kKnobs + 1) / 2;  // the knobs come first; then a row of kKnobs for each other
  std::fill_n(triangle, corner + kKnobs * (n - kKnobs), 0.0);
  const double* z = x + kKnobs;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const std::size_t r = at(active_[i]);
    const double weight = multipliers[i] - objective * goal_.weight[r];
    if (weight == 0) continue;
    for (std::size_t c = 0; c < combinations_.size(); ++c) {
      const Jet& l = jets_[c][r];
      for (std::size_t k = 0; k < l.dd.size(); ++k) triangle[k] += weight * z[c] * l.dd[k];
      for (std::size_t k = 0; k < kKnobs; ++k) triangle[corner + kKnobs * c + k] += weight * l.d[k];
    }
  }
}

}  // namespace micromind
