// The search against exhaustive enumeration, and enumeration against random knob values.
#include "micromind/scaling/search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/networks/registry.h"

namespace micromind {
namespace {

using nlohmann::json;

Lattice lattice_of(const std::string& family, const Shape& input, const json& wishes, const json& options = json::object()) {
  Space space = default_space(family, input);
  narrow(space, wishes, "test");
  return make_lattice(family, input, 10, space, options);
}

struct Small {
  const char* family;
  json wishes, options;
};

// Lattices small enough to list: some 1,000 to 100,000 networks.
std::vector<Small> small_lattices() {
  return {
      {"phinet", {{"alpha", {0.2, 0.35}}, {"t_zero", {2, 3.2}}, {"num_layers", {4, 5}}, {"downsampling_layers", {5, 7}}}, json::object()},
      {"phinet", {{"alpha", {0.3, 0.8}}, {"num_layers", {5, 7}}, {"squeeze_excite", {true, false}}}, {{"divisor", 8}}},
      {"phinet", {{"beta", 1}, {"num_layers", {4, 6}}, {"alpha", {0.1, 0.5}}}, json::object()},
      {"xinet", {{"alpha", {0.2, 0.9}}, {"num_layers", {4, 5}}}, json::object()},
      {"mobilenet-v2", {{"resolution", {48, 64, 80, 96}}}, json::object()},
      {"efficientnet", json::object(), json::object()},
  };
}

// 200 random budgets over all of them: the search proves the same optimum as looking at every network.
TEST(Search, FindsWhatLookingAtEveryNetworkFinds) {
  Random random(3);
  int feasible = 0, infeasible = 0;
  for (const Small& s : small_lattices()) {
    const Lattice lattice = lattice_of(s.family, {3, 96, 96}, s.wishes, s.options);
    std::vector<Resources<double>> all;
    for_each_network(lattice, [&](const Found& f) {
      all.push_back(f.use);
      return true;
    });
    ASSERT_GT(all.size(), 20u);
    for (int draw = 0; draw < 36; ++draw) {
      // Budgets around those of a random network, some tight in one resource.
      const Resources<double>& like = all[random.below(static_cast<std::uint32_t>(all.size()))];
      SearchGoal goal;
      goal.weight = {1, 1, 1, 0};
      for (const int r : {kRam, kFlash, kMacs}) goal.most[static_cast<std::size_t>(r)] = like[static_cast<std::size_t>(r)] * std::exp2(2.0 * random.uniform() - 0.9);
      if (draw % 5 == 1) goal.weight = {0.3, 2, 0.5, 0};
      if (draw % 5 == 2) goal.weight = {0, 0, 1, 0};
      if (draw % 5 == 3) {  // fewest operations at a given size
        goal.weight = {0, 0, -1, 0};
        goal.least[kFlash] = like[kFlash];
      }
      double best = -kUnlimited;
      for (const Resources<double>& use : all) {
        bool fits = true;
        for (std::size_t r = 0; r < use.size(); ++r) fits &= use[r] <= goal.most[r] && use[r] >= goal.least[r];
        if (fits) best = std::max(best, goal.value(use));
      }
      const SearchResult found = search(lattice, goal);
      EXPECT_TRUE(found.complete);
      EXPECT_EQ(found.best.any(), std::isfinite(best));
      EXPECT_EQ(found.gap(), 0);
      if (found.best.any()) {
        EXPECT_NEAR(found.best.value, best, 1e-12) << s.family << " " << draw;
      }
      ++(found.best.any() ? feasible : infeasible);
    }
  }
  EXPECT_GE(feasible + infeasible, 200);
  EXPECT_GT(feasible, 100);
  EXPECT_GT(infeasible, 5);
}

// Whatever knob values one draws, the network is in the lattice: nothing between the cells is missed.
TEST(Search, LatticeHoldsEveryNetworkThatKnobsCanName) {
  for (const Small& s : small_lattices()) {
    const Shape input{3, 96, 96};
    Space space = default_space(s.family, input);
    narrow(space, s.wishes, "test");
    const Lattice lattice = make_lattice(s.family, input, 10, space, s.options);
    std::set<std::vector<std::int64_t>> known;
    for_each_network(lattice, [&](const Found& f) {
      std::vector<std::int64_t> key = f.widths;
      key.push_back(lattice.configurations[static_cast<std::size_t>(f.configuration)].choice);
      known.insert(key);
      return true;
    });
    Random random(11);
    int compared = 0;
    for (int draw = 0; draw < 3000; ++draw) {
      // A point of a random configuration of a random alpha, through the family's own rounding.
      const auto index = random.below(static_cast<std::uint32_t>(lattice.configurations.size()));
      const Configuration& c = lattice.configurations[index];
      const Polygon::Range range = c.region.range({1, 0});
      const double at = range.low + (range.high - range.low) * random.uniform();
      const double ratio = lattice.limits.ratio_low + (lattice.limits.ratio_high - lattice.limits.ratio_low) * random.uniform();
      if (!lattice.limits.hold(at, ratio, c.one_knob)) continue;
      std::vector<int> widths;
      try {
        widths = lattice.family->widths(lattice.family->options(c, at, ratio));
      } catch (const Error&) {
        continue;  // no network: a width is nothing
      }
      ++compared;
      std::vector<std::int64_t> key(widths.begin(), widths.end());
      key.push_back(c.choice);
      EXPECT_TRUE(known.contains(key)) << s.family << " " << lattice.family->options(c, at, ratio);
    }
    EXPECT_GT(compared, 1500) << s.family;
  }
}

TEST(Search, StopsAtTheNodeLimitAndSaysHowFarItMayBeOff) {
  const Lattice lattice = lattice_of("phinet", {3, 96, 96}, json::object());
  SearchGoal goal;
  goal.weight = {1, 1, 1, 0};
  goal.most = {80e3, 300e3, 10e6, kUnlimited};
  const SearchResult whole = search(lattice, goal);
  ASSERT_TRUE(whole.complete);
  const SearchResult cut = search(lattice, goal, {.node_limit = whole.nodes / 2});
  EXPECT_FALSE(cut.complete);
  EXPECT_GE(cut.bound, whole.best.value);
  EXPECT_GT(cut.gap(), 0);
}

TEST(Search, RefusedNetworksAreNotTheAnswer) {
  const Lattice lattice = lattice_of("xinet", {3, 96, 96}, json::object());
  SearchGoal goal;
  goal.weight = {1, 1, 1, 0};
  goal.most = {200e3, 300e3, 30e6, kUnlimited};
  const SearchResult first = search(lattice, goal);
  const SearchResult second = search(lattice, goal, {.accept = [&](const Found& f) { return f.widths != first.best.widths; }});
  ASSERT_TRUE(second.best.any());
  EXPECT_NE(first.best.widths, second.best.widths);
  EXPECT_LE(second.best.value, first.best.value);
}

}  // namespace
}  // namespace micromind
