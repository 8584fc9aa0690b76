#include "micromind/scaling/relaxation.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "micromind/scaling/bonmin/solver.h"
#include "micromind/scaling/programme.h"

namespace micromind {
namespace {

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

// Configurations in the order in which the relaxed point is near: nearest alpha first, those whose range
// holds S in front. Of its own choice, or of the others.
std::vector<int> nearest_configurations(const Lattice& lattice, const RelaxedOptimum& relaxed, bool own) {
  const int choice = lattice.configurations[at(relaxed.configuration)].choice;
  std::vector<std::pair<double, int>> list;
  for (int i = 0; i < static_cast<int>(lattice.configurations.size()); ++i) {
    const Configuration& c = lattice.configurations[at(i)];
    if ((c.choice == choice) != own) continue;
    const Polygon::Range s = c.region.range({1, 0});
    const double off_alpha = c.alpha > 0 ? std::abs(std::log(c.alpha / relaxed.alpha)) : 0;
    const double off_s = std::max({0.0, s.low - relaxed.point.s, relaxed.point.s - s.high});
    list.emplace_back(off_alpha + off_s, i);
  }
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  constexpr std::size_t most = 40;
  std::vector<int> nearest;
  for (std::size_t i = 0; i < std::min(most, list.size()); ++i) nearest.push_back(list[i].second);
  return nearest;
}

// The best feasible network on a short walk over the configuration's plane.
void walk(const Lattice& lattice, const SearchGoal& goal, const RelaxedOptimum& relaxed, int index,
          Found& best) {
  constexpr double scales[] = {1.04, 1.02, 1.01, 1,    0.99, 0.98, 0.96, 0.94,
                               0.9,  0.85, 0.8,  0.75, 0.7,  0.6,  0.5},
                   shapes[] = {1, 0.98, 1.02, 0.95, 1.05};
  const Lattice::Limits& limits = lattice.limits;
  const Configuration& c = lattice.configurations[at(index)];
  const Structure& structure = lattice.structures[at(c.structure)];
  const auto slots = static_cast<std::ptrdiff_t>(structure.cost->slots());
  const Polygon::Range range = c.region.range({1, 0});
  auto x = structure.cost->variables<std::int64_t>();
  std::vector<int> rounded(c.forms.size());
  for (const double scale : scales)
    for (const double shape : shapes) {
      const double s = std::clamp(relaxed.point.s * scale, range.low, range.high);
      const double ratio =
          std::clamp(relaxed.point.t / relaxed.point.s * shape, limits.ratio_low, limits.ratio_high);
      const Point point{s, s * ratio};
      for (std::size_t f = 0; f < c.forms.size(); ++f) rounded[f] = structure.roundings[f](c.forms[f](point));
      slot_widths(structure, c, rounded, x);
      bool fits = std::all_of(x.begin(), x.begin() + slots, [](std::int64_t w) { return w >= 1; });
      for (const int slot : structure.cost->depthwise_slots()) fits = fits && x[at(slot)] >= 2;
      if (!fits) continue;
      const Resources<double> use = structure.cost->evaluate(x);
      for (std::size_t r = 0; r < use.size(); ++r)
        fits = fits && use[r] <= goal.most[r] && use[r] >= goal.least[r];
      const double value = goal.value(use);
      if (fits && value > best.value) best = {index, point, {}, {x.begin(), x.begin() + slots}, use, value};
    }
}

}  // namespace

RelaxedOptimum solve_relaxation(const Lattice& lattice, const SearchGoal& goal, double seconds) {
  const auto start = std::chrono::steady_clock::now();
  RelaxedOptimum optimum;
  Programme programme(lattice, goal);
  optimum.combinations = static_cast<std::int64_t>(programme.combinations().size());
  if (optimum.combinations > 0 || !built_with_bonmin()) {  // without Bonmin: says so, whatever the budgets
    std::vector<double> x;
    const MinlpAnswer answer = solve_with_bonmin(programme, seconds, x);
    optimum.solved = answer.solved;
    optimum.nodes = answer.nodes;
    optimum.trouble = answer.trouble;
    if (answer.solved) {
      const auto z = x.begin() + Programme::kKnobs;
      const auto chosen = std::max_element(z, z + optimum.combinations) - z;
      const Combination& c = programme.combinations()[static_cast<std::size_t>(chosen)];
      const double s = std::clamp(std::exp(x[1]), c.s_low, c.s_high);
      optimum.configuration = c.configuration;
      optimum.alpha = c.smooth.alpha > 0 ? std::exp(x[0]) : 0;
      optimum.point = {s, s * std::exp(x[2])};
      optimum.use = relaxed_use(lattice, c.configuration, optimum.alpha, optimum.point);
      optimum.objective = goal.value(optimum.use);
    }
  }
  optimum.ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return optimum;
}

Resources<double> relaxed_use(const Lattice& lattice, int configuration, double alpha, const Point& point) {
  const Configuration smooth = lattice.family->unrounded(lattice.configurations[at(configuration)]);
  return smooth_use<double>(lattice.structures[at(smooth.structure)], smooth, smooth.alpha > 0 ? alpha : 1,
                            point.s, point.t / point.s);
}

nlohmann::json relaxed_options(const Lattice& lattice, const RelaxedOptimum& relaxed) {
  Configuration c = lattice.configurations[at(relaxed.configuration)];
  c.alpha = relaxed.alpha;
  return lattice.family->options(c, relaxed.point.s, relaxed.point.t / relaxed.point.s);
}

Found round_relaxed(const Lattice& lattice, const SearchGoal& goal, const RelaxedOptimum& relaxed) {
  Found best;
  if (!relaxed.solved) return best;
  for (const bool own : {true, false}) {
    for (const int index : nearest_configurations(lattice, relaxed, own))
      walk(lattice, goal, relaxed, index, best);
    if (best.any()) break;
  }
  return best;
}

SearchResult search_from(const Lattice& lattice, const SearchGoal& goal, const Found& start,
                         SearchOptions options) {
  if (!start.any()) return search(lattice, goal, options);
  options.start_value = start.value - 1e-9;
  SearchResult result = search(lattice, goal, options);
  if (result.best.any() || !result.complete) return result;
  // The start itself was not accepted (its arena as placed may exceed the bound), so its value proves
  // nothing.
  options.start_value = -kUnlimited;
  const std::int64_t nodes = result.nodes, candidates = result.candidates;
  result = search(lattice, goal, options);
  result.nodes += nodes;
  result.candidates += candidates;
  return result;
}

}  // namespace micromind
