#include "micromind/scaling/search.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"

namespace micromind {
namespace {

constexpr double kSliver = 1e-9;  // of a width: forms nearer to a threshold are taken to be on its other side

std::size_t at(int i) { return static_cast<std::size_t>(i); }

struct Open {
  double bound = 0;
  int configuration = 0, depth = 0, form = 0;  // the form to cut, and where
  double cut = 0;
  Polygon region;
};

// Best bound first; among equals the deepest, so that a plateau (all budgets filled) is dived through.
bool later(const Open& a, const Open& b) { return a.bound != b.bound ? a.bound < b.bound : a.depth < b.depth; }

// A value in (low, high) where the rounded width changes, near the middle.
double threshold(const Rounding& rounding, double low, double high) {
  const double middle = 0.5 * (low + high);
  if (rounding.kind != Rounding::Kind::divisible && rounding.divisor == 1) {
    const double nearest = std::round(middle);
    if (nearest > low && nearest < high) return nearest;
    return nearest <= low ? std::floor(low) + 1 : std::ceil(high) - 1;
  }
  // The width at `left` differs from that at `right`: halve until they are neighbours.
  const int half = rounding(middle);
  double left = middle, right = high;
  if (half == rounding(high)) {
    left = low;
    right = middle;
  }
  const int least = rounding(left);
  for (int i = 0; i < 100; ++i) {
    const double m = 0.5 * (left + right);
    if (m <= left || m >= right) break;
    if (rounding(m) == least) left = m;
    else right = m;
  }
  return right;
}

class Search {
 public:
  Search(const Lattice& lattice, const SearchGoal& goal) : lattice_(lattice), goal_(goal) {
    for (const Structure& s : lattice.structures) {
      low_.push_back(s.cost->variables<std::int64_t>());
      high_.push_back(low_.back());
    }
    for (double w : goal.quality) has_quality_ |= w > 0;
  }

  // What is known of a polygon.
  struct View {
    bool possible = false, decided = false;
    double bound = 0;
    int form = -1;  // the one to cut
    double cut = 0;
  };

  View look(const Configuration& c, const Polygon& region) {
    const Structure& s = lattice_.structures[at(c.structure)];
    View view{true, true, 0, -1, 0};
    double most_undecided = -1;
    lows_.resize(c.forms.size());
    highs_.resize(c.forms.size());
    for (std::size_t f = 0; f < c.forms.size(); ++f) {
      const Polygon::Range range = region.range(c.forms[f]);
      double low = range.low + kSliver, high = range.high - kSliver;
      if (low >= high) low = high = 0.5 * (range.low + range.high);
      lows_[f] = s.roundings[f](low);
      highs_[f] = s.roundings[f](high);
      if (lows_[f] == highs_[f]) continue;
      view.decided = false;
      const double undecided = static_cast<double>(highs_[f] - lows_[f]) / highs_[f];
      if (undecided > most_undecided) {
        most_undecided = undecided;
        view.form = static_cast<int>(f);
        cut_low_ = low;
        cut_high_ = high;
      }
    }
    if (view.form >= 0) view.cut = threshold(s.roundings[at(view.form)], cut_low_, cut_high_);
    std::vector<std::int64_t>& low = low_[at(c.structure)];
    std::vector<std::int64_t>& high = high_[at(c.structure)];
    slot_widths(s, c, highs_, high);
    for (std::size_t i = 0; i < s.cost->slots(); ++i)
      if (high[i] < 1) view.possible = false;
    for (const int i : s.cost->depthwise_slots())
      if (high[at(i)] < 2) view.possible = false;
    if (!view.possible) return view;
    const Resources<double> most = s.cost->evaluate(high);
    ++evaluations;
    Resources<double> least = most;
    if (!view.decided) {
      slot_widths(s, c, lows_, low);
      for (std::size_t i = 0; i < s.cost->slots(); ++i) low[i] = std::max<std::int64_t>(low[i], 1);
      least = s.cost->evaluate(low);
      ++evaluations;
    }
    judge(least, most, view);
    use = most;
    return view;
  }

  // Lower and upper ends of the resources to whether anything between them can be feasible, and how good it could be.
  void judge(const Resources<double>& least, const Resources<double>& most, View& view) const {
    double quality = 0;
    for (int r = 0; r < kResources; ++r) {
      const std::size_t i = at(r);
      if (least[i] > goal_.most[i] || most[i] < goal_.least[i]) view.possible = false;
      const double top = std::min(most[i], goal_.most[i]);
      if (goal_.weight[i] > 0) view.bound += goal_.weight[i] * std::log(top);
      if (goal_.weight[i] < 0) view.bound += goal_.weight[i] * std::log(std::max({least[i], goal_.least[i], 1.0}));
      if (goal_.quality[i] > 0) quality += goal_.quality[i] * std::log(top);
    }
    if (has_quality_ && quality <= goal_.quality_above) view.possible = false;
  }

  Found found(int configuration, const Polygon& region, double value) const {
    const Configuration& c = lattice_.configurations[at(configuration)];
    const std::vector<std::int64_t>& x = high_[at(c.structure)];
    const auto slots = static_cast<std::ptrdiff_t>(lattice_.structures[at(c.structure)].cost->slots());
    return {configuration, region.centre(), region, {x.begin(), x.begin() + slots}, use, value};
  }

  std::int64_t evaluations = 0;
  Resources<double> use{};  // of the network that look() found decided

 private:
  const Lattice& lattice_;
  const SearchGoal& goal_;
  bool has_quality_ = false;
  double cut_low_ = 0, cut_high_ = 0;
  std::vector<int> lows_, highs_;
  std::vector<std::vector<std::int64_t>> low_, high_;  // one a structure, constants set
};

}  // namespace

double SearchGoal::value(const Resources<double>& use) const {
  double sum = 0;
  for (std::size_t r = 0; r < use.size(); ++r)
    if (weight[r] != 0) sum += weight[r] * std::log(std::max(use[r], 1.0));
  return sum;
}

double SearchResult::gap() const {
  if (!best.any()) return complete ? 0 : kUnlimited;
  return std::max(0.0, std::expm1(bound - best.value));
}

SearchResult search(const Lattice& lattice, const SearchGoal& goal, const SearchOptions& options) {
  SearchResult result;
  Search search(lattice, goal);
  double best = options.start_value;
  std::vector<Open> open;
  // A region goes into the queue, or is a network and may be the best so far, or is dropped.
  const auto consider = [&](int configuration, const Polygon& region, int depth) {
    if (region.empty()) return;
    ++result.nodes;
    const Search::View view = search.look(lattice.configurations[at(configuration)], region);
    if (!view.possible || view.bound <= best) return;
    if (view.decided) {
      const Found found = search.found(configuration, region, view.bound);
      if (options.accept && !options.accept(found)) {
        ++result.refused;
        return;
      }
      best = view.bound;
      result.best = found;
      return;
    }
    open.push_back({view.bound, configuration, depth, view.form, view.cut, region});
    std::push_heap(open.begin(), open.end(), later);
  };
  for (int c = 0; c < static_cast<int>(lattice.configurations.size()); ++c) consider(c, lattice.configurations[at(c)].region, 0);
  while (!open.empty()) {
    if (open.front().bound <= best) break;
    if (interrupted()) throw Interrupted("design", "stopped");
    if (result.nodes >= options.node_limit) {
      result.complete = false;
      break;
    }
    std::pop_heap(open.begin(), open.end(), later);
    const Open node = open.back();
    open.pop_back();
    const LinearForm& form = lattice.configurations[at(node.configuration)].forms[at(node.form)];
    for (const bool below : {false, true}) consider(node.configuration, node.region.cut(form, node.cut, below), node.depth + 1);
  }
  result.candidates = search.evaluations;
  result.bound = open.empty() ? best : std::max(best, open.front().bound);
  return result;
}

void for_each_network(const Lattice& lattice, const std::function<bool(const Found&)>& visit) {
  const SearchGoal anything;
  Search search(lattice, anything);
  std::vector<Polygon> open;
  for (int i = 0; i < static_cast<int>(lattice.configurations.size()); ++i) {
    const Configuration& c = lattice.configurations[at(i)];
    open.assign(1, c.region);
    while (!open.empty()) {
      const Polygon region = open.back();
      open.pop_back();
      if (region.empty()) continue;
      const Search::View view = search.look(c, region);
      if (!view.possible) continue;
      if (view.decided) {
        if (!visit(search.found(i, region, 0))) return;
        continue;
      }
      open.push_back(region.cut(c.forms[at(view.form)], view.cut, true));
      open.push_back(region.cut(c.forms[at(view.form)], view.cut, false));
    }
  }
}

}  // namespace micromind
