// The relaxation, Bonmin on it, and both solvers against each other.
#include "micromind/scaling/relaxation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "error_of.h"
#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/scaling/design.h"
#include "micromind/scaling/programme.h"

namespace micromind {
namespace {

using nlohmann::json;

Lattice lattice_of(const std::string& family, const Shape& input, const json& wishes = json::object(),
                   const json& options = json::object()) {
  Space space = default_space(family, input);
  narrow(space, wishes, "test");
  return make_lattice(family, input, 10, space, options);
}

SearchGoal goal_of(double ram, double flash, double macs) {
  SearchGoal goal;
  goal.weight = {1, 1, 1, 0};
  goal.most = {ram, flash, macs, kUnlimited};
  return goal;
}

double log_uniform(Random& random, double low, double high) {
  return low * std::pow(high / low, random.uniform());
}

// --- The closed forms of docs/scaling.md
// ---------------------------------------------------------------------

TEST(Relaxation, IsThePhiNetPolynomial) {
  const Lattice lattice =
      lattice_of("phinet", {3, 96, 96}, {{"num_layers", 7}, {"downsampling_layers", {5, 7}}});
  const double alpha = 0.83, s = 4.2, t = 3.1, classes = 10;
  const int layers = 7;
  const double filters[] = {24, 24, 24, 48, 48, 96, 96, 192};  // F_0 … F_7
  const double area[] = {48 * 48, 24 * 24, 24 * 24, 12 * 12, 12 * 12, 6 * 6, 6 * 6, 3 * 3};
  double macs = area[0] * (9 * 3 + 3 * 48 * alpha + 9 * 48 * alpha + 48 * 24 * alpha * alpha);
  for (int id = 1; id <= layers; ++id) {
    const double e = alpha * filters[id - 1] * (s * (layers - id) + t * id) / layers;
    macs += area[id - 1] * alpha * filters[id - 1] * e + 9 * area[id] * e + e * e / 3 +
            area[id] * alpha * filters[id] * e;
  }
  macs += alpha * filters[layers] * classes;
  const Resources<double> use = relaxed_use(lattice, 0, alpha, {s, t});
  EXPECT_NEAR(use[kMacs] / macs, 1, 1e-12);
  // The first expanding block's depthwise convolution needs most: its input and its output.
  const double ram = (area[0] + area[1]) * alpha * filters[0] * (s * (layers - 1) + t) / layers;
  EXPECT_GE(use[kRam], ram);
  EXPECT_LE(use[kRam], ram * 1.08);
}

TEST(Relaxation, IsTheXiNetPolynomial) {
  const Lattice lattice = lattice_of("xinet", {3, 96, 96}, {{"num_layers", 5}, {"gamma", 3}});
  const double s = 0.7, t = 0.9, classes = 10;
  const int convs = 8;
  const double in_area[] = {48 * 48, 24 * 24, 24 * 24, 12 * 12, 12 * 12, 6 * 6, 6 * 6, 6 * 6},
               area[] = {24 * 24, 24 * 24, 12 * 12, 12 * 12, 6 * 6, 6 * 6, 6 * 6, 6 * 6};
  const double doubled[] = {2, 2, 4, 4, 8, 8, 16, 16};
  double before = 16 * s, macs = 49 * 3 * 48 * 48 * before;
  const double broadcast = 32 * s;
  for (int i = 1; i <= convs; ++i) {
    const bool last = i > convs - 2;
    const double c = 16 * doubled[i - 1] * (i == 1 ? s : s + (t - s) * i / convs), u = c / (last ? 4 : 3),
                 r = u / 2;
    macs += in_area[i - 1] * before * u + (i > 1 ? in_area[i - 1] * broadcast * u : 0) +
            9 * area[i - 1] * u * c + (last ? 0 : 10 * area[i - 1] * r * c);
    before = c;
  }
  macs += before * classes;
  EXPECT_NEAR(relaxed_use(lattice, 0, 1, {s, t})[kMacs] / macs, 1, 1e-12);
}

// --- The programme
// -------------------------------------------------------------------------------------------

// Values, first and second derivatives against differences, at a random point with fractional choices.
TEST(Programme, DerivativesAreThoseOfTheValues) {
  for (const std::string& family : scalable_families()) {
    const Lattice lattice = lattice_of(family, {3, 96, 96});
    SearchGoal goal = goal_of(300e3, 900e3, 40e6);
    goal.weight = {1, 0.5, -2, 0};
    goal.least[kFlash] = 50e3;
    Programme p(lattice, goal);
    const auto n = static_cast<std::size_t>(p.variables()), m = static_cast<std::size_t>(p.rows());
    ASSERT_GT(p.combinations().size(), 0u) << family;
    Random random(3);
    std::vector<double> x(n);
    for (std::size_t j = 0; j < n; ++j) {
      const Minlp::Variable v = p.variable(static_cast<int>(j));
      x[j] = v.low + (v.high - v.low) * random.uniform();
    }
    struct At {
      double f = 0;
      std::vector<double> gradient, g, jacobian;
    };
    const auto at = [&](const std::vector<double>& point) {
      At a{0, std::vector<double>(n), std::vector<double>(m), std::vector<double>(n * m)};
      p.evaluate(point.data(), a.f, a.gradient.data(), a.g.data(), a.jacobian.data());
      return a;
    };
    const At here = at(x);
    std::vector<double> multipliers(m), triangle(6 + 3 * (n - 3));
    for (double& v : multipliers) v = random.uniform() - 0.5;
    p.hessian(x.data(), 0.7, multipliers.data(), triangle.data());
    const double h = 1e-5;
    for (std::size_t j = 0; j < n; ++j) {
      std::vector<double> up = x, down = x;
      up[j] += h;
      down[j] -= h;
      const At above = at(up), below = at(down);
      const bool fixed = p.variable(static_cast<int>(j)).low == p.variable(static_cast<int>(j)).high;
      if (fixed) continue;
      EXPECT_NEAR(here.gradient[j], (above.f - below.f) / (2 * h), 1e-5) << family << j;
      for (std::size_t i = 0; i < m; ++i) {
        EXPECT_NEAR(here.jacobian[i * n + j], (above.g[i] - below.g[i]) / (2 * h), 1e-5)
            << family << i << " " << j;
      }
      for (std::size_t k = 0; k <= j; ++k) {
        double slope = 0.7 * (above.gradient[k] - below.gradient[k]);
        for (std::size_t i = 0; i < m; ++i)
          slope += multipliers[i] * (above.jacobian[i * n + k] - below.jacobian[i * n + k]);
        const double second = j < 3   ? triangle[j * (j + 1) / 2 + k]
                              : k < 3 ? triangle[6 + 3 * (j - 3) + k]
                                      : 0;
        EXPECT_NEAR(second, slope / (2 * h), 1e-4) << family << j << " " << k;
      }
    }
  }
}

// At a whole choice the rows are the logarithms of the relaxed resources, and the whole numbers are those of
// the choice.
TEST(Programme, RowsAreTheResourcesOfTheChoice) {
  const Lattice lattice = lattice_of("xinet", {3, 96, 96});
  Programme p(lattice, goal_of(1e9, 1e9, 1e12));
  EXPECT_EQ(p.combinations().size(), 35u);
  EXPECT_THAT(p.whole_names(), testing::UnorderedElementsAre("gamma", "num_layers"));
  for (const std::size_t chosen : {0u, 17u, 34u}) {
    std::vector<double> x(static_cast<std::size_t>(p.variables())), gradient(x.size()),
        g(static_cast<std::size_t>(p.rows())), jacobian(x.size() * g.size());
    x[1] = std::log(0.6);
    x[2] = std::log(1.3);
    x[Programme::kKnobs + chosen] = 1;
    for (std::size_t w = 0; w < 2; ++w) x[Programme::kKnobs + 35 + w] = p.combinations()[chosen].wholes[w];
    double f = 0;
    p.evaluate(x.data(), f, gradient.data(), g.data(), jacobian.data());
    const Resources<double> use =
        relaxed_use(lattice, p.combinations()[chosen].configuration, 0, {0.6, 0.6 * 1.3});
    for (const int r : {kRam, kFlash, kMacs})
      EXPECT_NEAR(g[static_cast<std::size_t>(r)], std::log(use[static_cast<std::size_t>(r)]), 1e-12);
    for (int i = 0; i < p.rows(); ++i) {
      const Minlp::Row row = p.row(i);
      EXPECT_GE(g[static_cast<std::size_t>(i)], row.low - 1e-12) << i;
      EXPECT_LE(g[static_cast<std::size_t>(i)], row.high + 1e-12) << i;
    }
  }
}

TEST(Programme, LeavesOutWhatCannotFit) {
  const Lattice lattice = lattice_of("xinet", {3, 96, 96});
  EXPECT_EQ(Programme(lattice, goal_of(1000, 1e9, 1e12)).combinations().size(), 0u);
  SearchGoal large = goal_of(1e9, 1e9, 1e12);
  large.least[kFlash] = 30e6;
  const std::size_t left = Programme(lattice, large).combinations().size();
  EXPECT_GT(left, 0u);
  EXPECT_LT(left, 35u);
}

// --- Bonmin
// --------------------------------------------------------------------------------------------------

class Bonmin : public testing::Test {
 protected:
  void SetUp() override {
    if (!built_with_bonmin()) GTEST_SKIP() << "built without Bonmin (coinor-libbonmin-dev)";
  }
};

TEST(WithoutBonmin, OneErrorNamesThePackage) {
  if (built_with_bonmin()) GTEST_SKIP() << "built with Bonmin";
  const Lattice lattice = lattice_of("phinet", {3, 96, 96});
  EXPECT_THAT(error_of([&] { solve_relaxation(lattice, goal_of(200e3, 900e3, 20e6)); }),
              testing::HasSubstr("coinor-libbonmin-dev"));
}

// max log x + log y subject to x + y ≤ 4.5 over x in 1, 2, 3, … and real y: 2 and 2.5.
class Small : public Minlp {
 public:
  int variables() const override { return 2; }
  int rows() const override { return 1; }
  Variable variable(int j) const override { return {j == 0 ? Kind::integer : Kind::real, 1, 4, 1.2}; }
  Row row(int) const override { return {-1e20, 4.5, true}; }
  void evaluate(const double* x, double& f, double* gradient, double* g, double* jacobian) override {
    f = -std::log(x[0]) - std::log(x[1]);
    for (int j = 0; j < 2; ++j) {
      gradient[j] = -1 / x[j];
      jacobian[j] = 1;
    }
    *g = x[0] + x[1];
  }
  void hessian(const double* x, double objective, const double*, double* triangle) override {
    triangle[0] = objective / (x[0] * x[0]);
    triangle[1] = 0;
    triangle[2] = objective / (x[1] * x[1]);
  }
};

TEST_F(Bonmin, SolvesASmallProgramme) {
  Small small;
  std::vector<double> x;
  const MinlpAnswer answer = solve_with_bonmin(small, 5, x);
  ASSERT_TRUE(answer.solved) << answer.trouble;
  EXPECT_NEAR(x[0], 2, 1e-5);
  EXPECT_NEAR(x[1], 2.5, 1e-5);
  EXPECT_NEAR(answer.objective, -std::log(5), 1e-5);
}

TEST_F(Bonmin, FindsContradictions) {
  struct Contradiction : Small {
    Row row(int) const override { return {-1e20, 1.5, true}; }
  } small;
  std::vector<double> x;
  EXPECT_FALSE(solve_with_bonmin(small, 5, x).solved);
}

// What COIN-OR's own checks do to a process: the caller lives on, and so it does when time is up.
TEST_F(Bonmin, DoesNotTakeTheProgramWithIt) {
  struct Aborting : Small {
    void evaluate(const double*, double&, double*, double*, double*) override { std::abort(); }
  } aborting;
  std::vector<double> x;
  MinlpAnswer answer = solve_with_bonmin(aborting, 5, x);
  EXPECT_FALSE(answer.solved);
  EXPECT_THAT(answer.trouble, testing::HasSubstr("check inside"));
  struct Throwing : Small {
    void evaluate(const double*, double&, double*, double*, double*) override {
      throw std::runtime_error("no value here");
    }
  } throwing;
  answer = solve_with_bonmin(throwing, 5, x);
  EXPECT_FALSE(answer.solved);
  struct Endless : Small {
    void evaluate(const double*, double&, double*, double*, double*) override {
      std::this_thread::sleep_for(std::chrono::hours(1));
    }
  } endless;
  answer = solve_with_bonmin(endless, 0.2, x);
  EXPECT_FALSE(answer.solved);
  EXPECT_THAT(answer.trouble, testing::HasSubstr("out of time"));
}

TEST_F(Bonmin, PrintsAndWritesNothing) {
  const auto folder = std::filesystem::temp_directory_path() / "micromind-bonmin-test",
             before = std::filesystem::current_path();
  std::filesystem::create_directories(folder);
  std::filesystem::current_path(folder);
  // Bonmin would read this, and complain.
  std::FILE* file = std::fopen("bonmin.opt", "w");
  std::fputs("bonmin.bb_log_level 5\nno_such_option 1\n", file);
  std::fclose(file);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const Lattice lattice = lattice_of("phinet", {3, 96, 96});
  const bool solved = solve_relaxation(lattice, goal_of(200e3, 900e3, 20e6)).solved;
  EXPECT_EQ(testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr(), "");
  std::filesystem::current_path(before);
  EXPECT_TRUE(solved);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()),
            1);
  std::filesystem::remove_all(folder);
}

// PhiNet's three knobs meet three budgets: with all of them reachable, the relaxation fills all.
TEST_F(Bonmin, InvertsTheMapOfThreeKnobs) {
  const Lattice lattice =
      lattice_of("phinet", {3, 96, 96}, {{"num_layers", 7}, {"downsampling_layers", {5, 7}}});
  const Resources<double> wanted = relaxed_use(lattice, 0, 0.6, {4, 4 * 0.9});
  const RelaxedOptimum found =
      solve_relaxation(lattice, goal_of(wanted[kRam], wanted[kFlash], wanted[kMacs]));
  ASSERT_TRUE(found.solved) << found.trouble;
  for (const int r : {kRam, kFlash, kMacs})
    EXPECT_NEAR(found.use[static_cast<std::size_t>(r)] / wanted[static_cast<std::size_t>(r)], 1, 1e-4) << r;
  EXPECT_NEAR(found.alpha, 0.6, 1e-3);
  EXPECT_NEAR(found.point.s, 4, 1e-2);
  EXPECT_NEAR(found.point.t / found.point.s, 0.9, 1e-2);
}

// --- Both solvers
// --------------------------------------------------------------------------------------------

struct Matrix {
  const char* family;
  Shape input;
  json wishes;
  int budgets;
};

// Random budgets over all families: the same optimum, gap 0, with Bonmin's start and without; both say what
// is infeasible.
TEST_F(Bonmin, AgreesWithTheExactSearch) {
  const std::vector<Matrix> matrix = {
      {"phinet", {3, 96, 96}, json::object(), 25},
      {"phinet", {3, 160, 128}, {{"num_layers", {5, 7}}, {"squeeze_excite", {true, false}}}, 25},
      {"xinet", {3, 96, 96}, {{"num_layers", {4, 5, 6}}, {"gamma", {2, 4}}}, 25},
      {"xinet", {1, 64, 64}, {{"num_layers", {3, 4}}, {"gamma", {2, 3, 4}}}, 25},
      {"mobilenet-v2", {3, 96, 96}, {{"resolution", {48, 64, 80, 96}}}, 30},
      {"mobilenet-v2", {1, 128, 128}, {{"resolution", {96, 128}}}, 30},
      {"efficientnet", {3, 96, 96}, json::object(), 25},
      {"efficientnet", {3, 64, 64}, json::object(), 25},
  };
  Random random(17);
  int budgets = 0, feasible = 0, solved = 0, started = 0, other_choice = 0;
  std::vector<double> difference;
  for (const Matrix& m : matrix) {
    const Lattice lattice = lattice_of(m.family, m.input, m.wishes);
    for (int draw = 0; draw < m.budgets; ++draw, ++budgets) {
      SearchGoal goal = goal_of(log_uniform(random, 16e3, 1e6), log_uniform(random, 64e3, 2e6),
                                log_uniform(random, 1e6, 100e6));
      if (draw % 5 == 1) goal.weight = {0.3, 2, 0.5, 0};
      if (draw % 5 == 2) goal.weight = {0, 0, 1, 0};
      if (draw % 5 == 3) {  // fewest operations at a given size
        goal.weight = {0, 0, -1, 0};
        goal.least[kFlash] = 0.5 * goal.most[kFlash];
      }
      const SearchResult alone = search(lattice, goal);
      const RelaxedOptimum relaxed = solve_relaxation(lattice, goal);
      const Found start = round_relaxed(lattice, goal, relaxed);
      const SearchResult both = search_from(lattice, goal, start);
      const auto where = [&] { return fmt::format("{} {} draw {}", m.family, to_string(m.input), draw); };
      EXPECT_TRUE(alone.complete && both.complete) << where();
      EXPECT_EQ(alone.gap(), 0) << where();
      EXPECT_EQ(both.gap(), 0) << where();
      ASSERT_EQ(alone.best.any(), both.best.any()) << where();
      if (!alone.best.any()) continue;
      ++feasible;
      EXPECT_NEAR(alone.best.value, both.best.value, 1e-9) << where();
      if (start.any()) {
        ++started;
        EXPECT_LE(start.value, alone.best.value + 1e-9) << where();
      }
      if (!relaxed.solved) continue;
      ++solved;
      for (std::size_t r = 0; r < kResources; ++r) {
        EXPECT_LE(relaxed.use[r], goal.most[r] * (1 + 1e-4)) << where();
        EXPECT_GE(relaxed.use[r], goal.least[r] * (1 - 1e-4)) << where();
      }
      difference.push_back(std::abs(relaxed.objective - alone.best.value));
      other_choice += lattice.configurations[static_cast<std::size_t>(relaxed.configuration)].choice !=
                      lattice.configurations[static_cast<std::size_t>(alone.best.configuration)].choice;
    }
  }
  std::sort(difference.begin(), difference.end());
  const double median = difference[difference.size() / 2];
  std::printf(
      "%d budgets, %d feasible; Bonmin solves %d, starts %d; objective off by %.4f (median); another choice "
      "%d times\n",
      budgets, feasible, solved, started, median, other_choice);
  EXPECT_GE(budgets, 200);
  EXPECT_GT(feasible, 100);
  EXPECT_LT(feasible, budgets);
  EXPECT_GE(solved, feasible * 9 / 10);
  EXPECT_GE(started, feasible * 9 / 10);
  EXPECT_LT(median, 0.25);  // Σ of up to three logarithms, so some 8 % of each budget
}

TEST_F(Bonmin, DesignsTheSameNetwork) {
  DesignRequest request{.family = "phinet",
                        .input = {3, 96, 96},
                        .classes = 10,
                        .budget = {.ram_bytes = 150e3, .flash_bytes = 600e3, .macs = 16e6}};
  request.sensitivity = false;
  const Design exact = design(request);
  EXPECT_FALSE(exact.relaxation.solved);
  request.solver = Solver::bonmin;
  const Design both = design(request);
  EXPECT_EQ(both.options, exact.options);
  EXPECT_EQ(both.gap, 0);
  ASSERT_TRUE(both.relaxation.solved);
  EXPECT_GT(both.relaxation.ms, 0);
  EXPECT_NEAR(both.relaxation.objective, exact.objective, 0.3);
  EXPECT_TRUE(both.relaxation.options.contains("alpha"));
}

// A start that is refused (its arena may not fit as placed) must not hide what is worth less.
TEST_F(Bonmin, ARefusedStartHidesNothing) {
  const Lattice lattice = lattice_of("xinet", {3, 96, 96}, {{"num_layers", 5}});
  const SearchGoal goal = goal_of(200e3, 300e3, 30e6);
  const SearchResult first = search(lattice, goal);
  const SearchResult second = search_from(
      lattice, goal, first.best, {.accept = [&](const Found& f) { return f.widths != first.best.widths; }});
  ASSERT_TRUE(second.best.any());
  EXPECT_LT(second.best.value, first.best.value);
  EXPECT_EQ(second.gap(), 0);
}

}  // namespace
}  // namespace micromind
