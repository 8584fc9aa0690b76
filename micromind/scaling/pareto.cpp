#include "micromind/scaling/pareto.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"

namespace micromind {
namespace {

using Amounts = std::array<double, 3>;  // one an axis

Amounts use_of(const Design& design) {
  Amounts use{};
  for (std::size_t a = 0; a < use.size(); ++a) use[a] = design.counted[static_cast<std::size_t>(kFrontAxes[a])];
  return use;
}

bool within(const Amounts& small, const Amounts& large) {
  for (std::size_t a = 0; a < small.size(); ++a)
    if (small[a] > large[a]) return false;
  return true;
}

Resources<double> limits(const Amounts& budget) {
  Resources<double> most;
  most.fill(kUnlimited);
  for (std::size_t a = 0; a < budget.size(); ++a) most[kFrontAxes[a]] = budget[a];
  return most;
}

class Sampler {
 public:
  Sampler(const DesignRequest& request, int steps) : designer_(request) {
    const Design corner = designer_.run();
    const Amounts use = use_of(corner);
    for (std::size_t a = 0; a < use.size(); ++a) {
      double budget = use[a];
      for (const ResourceUse& r : corner.resources)
        if (r.resource == kFrontAxes[a] && r.budget != kUnlimited) budget = r.budget;
      front_.budgets[a] = budget_steps(designer_.smallest(kFrontAxes[a]), budget, steps);
    }
  }

  Front run() {
    // The largest budgets first, so that what fits less is known already.
    const auto& [ram, flash, macs] = front_.budgets;
    for (auto m = macs.rbegin(); m != macs.rend(); ++m)
      for (auto f = flash.rbegin(); f != flash.rend(); ++f)
        for (auto r = ram.rbegin(); r != ram.rend(); ++r) {
          if (interrupted()) throw Interrupted("design", "stopped");
          sample({*r, *f, *m});
        }
    drop_superfluous();
    std::sort(front_.points.begin(), front_.points.end(), [](const FrontPoint& a, const FrontPoint& b) {
      const auto key = [](const FrontPoint& p) { return std::array{p.use(kMacs), p.use(kRam), p.use(kFlash)}; };
      return key(a) < key(b);
    });
    for (FrontPoint& point : front_.points) show_tightest(point);
    return std::move(front_);
  }

 private:
  void sample(const Amounts& budget) {
    ++front_.combinations;
    for (std::size_t i = 0; i < front_.points.size(); ++i)
      if (within(uses_[i], budget) && within(budget, solved_at_[i])) return answer(i, budget);
    for (const Amounts& larger : infeasible_)
      if (within(budget, larger)) return none(budget);
    ++front_.searches;
    std::optional<Design> best = designer_.within(limits(budget));
    if (!best) return none(budget);
    const Amounts use = use_of(*best);
    for (std::size_t i = 0; i < front_.points.size(); ++i)
      if (uses_[i] == use && front_.points[i].design.options == best->options) return answer(i, budget);
    uses_.push_back(use);
    solved_at_.push_back(budget);
    front_.points.push_back({std::move(*best), {}});
    answer(front_.points.size() - 1, budget);
  }

  void answer(std::size_t point, const Amounts& budget) { front_.points[point].budgets.push_back(limits(budget)); }

  void none(const Amounts& budget) {
    ++front_.infeasible;
    infeasible_.push_back(budget);
  }

  void drop_superfluous() {
    std::vector<bool> drop(front_.points.size(), false);
    for (std::size_t i = 0; i < drop.size(); ++i)
      for (std::size_t j = 0; j < drop.size() && !drop[i]; ++j)
        drop[i] = i != j && !drop[j] && within(uses_[j], uses_[i]) && front_.points[j].design.objective >= front_.points[i].design.objective;
    std::vector<FrontPoint> kept;
    for (std::size_t i = 0; i < drop.size(); ++i)
      if (!drop[i]) kept.push_back(std::move(front_.points[i]));
    front_.dropped = static_cast<int>(drop.size() - kept.size());
    front_.points = std::move(kept);
  }

  // Its table of budget against use is that of the combination with least room.
  static void show_tightest(FrontPoint& point) {
    const auto room = [&](const Resources<double>& budget) {
      double sum = 0;
      for (const Resource r : kFrontAxes) sum += std::log(budget[r]);
      return sum;
    };
    std::sort(point.budgets.begin(), point.budgets.end(), [&](const auto& a, const auto& b) { return room(a) < room(b); });
    for (ResourceUse& r : point.design.resources)
      if (r.resource != kCycles) r.budget = point.budgets.front()[r.resource];
  }

  Designer designer_;
  Front front_;
  std::vector<Amounts> uses_, solved_at_, infeasible_;  // of the points; budgets
};

}  // namespace

double FrontPoint::use(Resource resource) const {
  for (const ResourceUse& r : design.resources)
    if (r.resource == resource) return r.used;
  return 0;
}

std::vector<double> budget_steps(double low, double high, int count) {
  std::vector<double> steps;
  for (int i = 0; i + 1 < count; ++i) {
    const double step = std::round(low * std::pow(high / low, static_cast<double>(i) / (count - 1)));
    if (step < high && (steps.empty() || step > steps.back())) steps.push_back(step);
  }
  steps.push_back(high);
  return steps;
}

Front design_front(const DesignRequest& request, int steps) {
  if (steps < 1 || steps > 16) fail("design", "{} budgets an axis: expected 1 to 16", steps);
  const auto start = std::chrono::steady_clock::now();
  Front front = Sampler(request, steps).run();
  front.ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return front;
}

}  // namespace micromind
