// Hardware-aware scaling, measured.
//   bench_scaling [--budgets N] [--json FILE]              time to solve, with Bonmin's start and without;
//   candidates a second;
//                                                          gap 0 against looking at every network of small
//                                                          lattices
//   bench_scaling --fill [--svg FILE] [--json FILE]        how full each budget gets: ours against coupled
//   scaling
#include "scaling_bench.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"
#include "micromind/cost/cost.h"
#include "micromind/networks/registry.h"
#include "micromind/scaling/relaxation.h"

namespace micromind {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Processor time, children included: what the wall clock shows on an idle machine.
double processor_ms() {
  double ms = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    getrusage(who, &used);
    for (const timeval& t : {used.ru_utime, used.ru_stime})
      ms += 1e3 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_usec);
  }
  return ms;
}

struct Stopwatch {
  Clock::time_point wall = Clock::now();
  double processor = processor_ms();
};

// Times or counts of one kind over all budgets.
struct Sample {
  std::vector<double> values;
  double quantile(double q) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
  }
  void add(double v) { values.push_back(v); }
  double median() { return quantile(0.5); }
  double worst() { return quantile(1); }
};

Lattice lattice_of(const std::string& family, const Shape& input, const json& wishes = json::object(),
                   const json& options = json::object()) {
  Space space = default_space(family, input);
  narrow(space, wishes, "bench");
  return make_lattice(family, input, 10, space, options);
}

SearchGoal draw_budget(Random& random) {
  SearchGoal goal;
  goal.weight = {1, 1, 1, 0};
  goal.most = {log_uniform(random, 16 << 10, 1 << 20), log_uniform(random, 64 << 10, 2 << 20),
               log_uniform(random, 1e6, 100e6), kUnlimited};
  return goal;
}

struct Times {
  Sample wall, processor;
  void add(const Stopwatch& since) {
    wall.add(ms_since(since.wall));
    processor.add(processor_ms() - since.processor);
  }
};

json to_json(Sample& s) {
  return {{"median", s.median()}, {"worst", s.worst()}};
}
json to_json(Times& t) {
  return {{"wall_ms", to_json(t.wall)}, {"processor_ms", to_json(t.processor)}};
}

// --- Time to solve
// -------------------------------------------------------------------------------------------

struct Measured {
  std::string family;
  int budgets = 0, feasible = 0, disagreements = 0, solved = 0, other_choice = 0, started = 0;
  Sample lattice, nodes, candidates, difference, start_gap;
  Times exact, bonmin, both;
};

void one_budget(const Lattice& lattice, const SearchGoal& goal, Measured& m) {
  ++m.budgets;
  Stopwatch watch;
  const SearchResult alone = search(lattice, goal);
  m.exact.add(watch);
  m.nodes.add(static_cast<double>(alone.nodes));
  m.candidates.add(static_cast<double>(alone.candidates));
  m.feasible += alone.best.any();
  if (!built_with_bonmin()) return;
  watch = {};
  const RelaxedOptimum relaxed = solve_relaxation(lattice, goal);
  m.bonmin.add(watch);
  const Found rounded = round_relaxed(lattice, goal, relaxed);
  const SearchResult both = search_from(lattice, goal, rounded);
  m.both.add(watch);
  const bool same = alone.best.any() == both.best.any() &&
                    (!alone.best.any() || std::abs(alone.best.value - both.best.value) <= 1e-9);
  m.disagreements += !same || alone.gap() != 0 || both.gap() != 0;
  if (!alone.best.any() || !relaxed.solved) return;
  ++m.solved;
  m.difference.add(std::abs(relaxed.objective - alone.best.value));
  m.other_choice += lattice.configurations[static_cast<std::size_t>(relaxed.configuration)].choice !=
                    lattice.configurations[static_cast<std::size_t>(alone.best.configuration)].choice;
  if (!rounded.any()) return;
  ++m.started;
  m.start_gap.add(std::max(0.0, -std::expm1(rounded.value - alone.best.value)));
}

Measured measure(const std::string& family, int budgets) {
  Measured m{.family = family};
  Random random(1);
  const Shape inputs[] = {{3, 96, 96}, {3, 160, 160}, {1, 64, 64}, {3, 128, 96}};
  for (const Shape& input : inputs) {
    const auto start = Clock::now();
    const Lattice lattice = lattice_of(family, input);
    m.lattice.add(ms_since(start));
    for (int i = 0; i < budgets / 4; ++i) one_budget(lattice, draw_budget(random), m);
  }
  return m;
}

json print_times(int budgets) {
  std::vector<std::vector<std::string>> rows = {{"family", "feasible", "lattice ms", "exact ms",
                                                 "of processor", "nodes", "costed", "Bonmin ms",
                                                 "of processor", "both ms", "of processor", "disagree"}};
  std::vector<std::vector<std::string>> quality = {
      {"family", "Bonmin solves", "off by", "another choice", "rounds to a start", "start worse by"}};
  json all = json::array();
  for (const std::string& family : scalable_families()) {
    Measured m = measure(family, budgets);
    const auto pair = [](Sample& s, const char* format) {
      return fmt::format(fmt::runtime(format), s.median(), s.worst());
    };
    rows.push_back({family, fmt::format("{} of {}", m.feasible, m.budgets),
                    fmt::format("{:.1f}", m.lattice.worst()), pair(m.exact.wall, "{:.2f}, {:.2f}"),
                    pair(m.exact.processor, "{:.2f}, {:.2f}"), pair(m.nodes, "{:.0f}, {:.0f}"),
                    pair(m.candidates, "{:.0f}, {:.0f}"), pair(m.bonmin.wall, "{:.0f}, {:.0f}"),
                    pair(m.bonmin.processor, "{:.0f}, {:.0f}"), pair(m.both.wall, "{:.0f}, {:.0f}"),
                    pair(m.both.processor, "{:.0f}, {:.0f}"), fmt::format("{}", m.disagreements)});
    quality.push_back(
        {family, fmt::format("{} of {}", m.solved, m.feasible), pair(m.difference, "{:.3f}, {:.3f}"),
         fmt::format("{}", m.other_choice), fmt::format("{}", m.started),
         fmt::format("{:.1f} %, {:.1f} %", 100 * m.start_gap.median(), 100 * m.start_gap.worst())});
    all.push_back({{"family", family},
                   {"budgets", m.budgets},
                   {"feasible", m.feasible},
                   {"disagreements", m.disagreements},
                   {"lattice_ms", m.lattice.worst()},
                   {"exact", to_json(m.exact)},
                   {"nodes", to_json(m.nodes)},
                   {"candidates", to_json(m.candidates)},
                   {"bonmin", to_json(m.bonmin)},
                   {"bonmin_and_exact", to_json(m.both)},
                   {"bonmin_solved", m.solved},
                   {"bonmin_off_by", to_json(m.difference)},
                   {"bonmin_other_choice", m.other_choice},
                   {"started", m.started},
                   {"start_worse_by", to_json(m.start_gap)}});
  }
  fmt::print("Time to solve over random budgets; pairs are median and worst\n{}", format_table(rows));
  if (built_with_bonmin())
    fmt::print(
        "\nBonmin's answer against the proven optimum (Σ of three logarithms of use); pairs are median and "
        "worst\n{}",
        format_table(quality));
  return all;
}

// --- Candidates a second
// -------------------------------------------------------------------------------------

json print_rates() {
  std::vector<std::vector<std::string>> rows = {
      {"family", "networks costed a second from widths", "built, lowered, planned and costed a second"}};
  json all = json::array();
  for (const std::string& family : scalable_families()) {
    const Lattice lattice = lattice_of(family, {3, 96, 96});
    const Configuration& c = lattice.configurations[lattice.configurations.size() / 2];
    const Structure& s = lattice.structures[static_cast<std::size_t>(c.structure)];
    auto x = s.cost->variables<std::int64_t>();
    double sum = 0;
    std::int64_t costed = 0;
    double start = processor_ms();
    for (; processor_ms() - start < 300; costed += 1000)
      for (int i = 0; i < 1000; ++i) {
        for (std::size_t k = 0; k < s.cost->slots(); ++k) x[k] = 8 + (i + static_cast<int>(k)) % 64;
        sum += s.cost->evaluate(x)[kRam];
      }
    const double rate = static_cast<double>(costed) / (processor_ms() - start) * 1000;
    const json options =
        lattice.family->options(c, c.region.centre().s, c.region.centre().t / c.region.centre().s);
    std::int64_t built = 0;
    start = processor_ms();
    for (; processor_ms() - start < 300; ++built) {
      const Graph network = build_network(family, options);
      sum += static_cast<double>(estimate_cost(network, lower(network, {.order = false})).peak_ram_bytes);
    }
    const double slow = static_cast<double>(built) / (processor_ms() - start) * 1000;
    if (!(sum > 0)) fail("bench", "networks cost nothing");
    rows.push_back({family, format_count(std::llround(rate)), format_count(std::llround(slow))});
    all.push_back({{"family", family}, {"from_widths", rate}, {"built", slow}});
  }
  fmt::print("\nCandidates a second\n{}", format_table(rows));
  return all;
}

// --- Against looking at every network
// ------------------------------------------------------------------------

json print_exhaustive(int budgets) {
  struct Small {
    const char* family;
    json wishes, options;
  };
  const std::vector<Small> lattices = {
      {"phinet", {{"alpha", {0.2, 0.35}}, {"t_zero", {2, 3.5}}, {"num_layers", {4, 5}}}, json::object()},
      {"phinet",
       {{"alpha", {0.3, 1.2}}, {"num_layers", {5, 7}}, {"squeeze_excite", {true, false}}},
       {{"divisor", 8}}},
      {"xinet", {{"alpha", {0.2, 0.9}}, {"num_layers", {4, 5}}}, json::object()},
      {"mobilenet-v2", {{"resolution", {48, 64, 80, 96}}}, json::object()},
      {"efficientnet", json::object(), json::object()},
  };
  std::vector<std::vector<std::string>> rows = {
      {"small lattice", "networks", "budgets", "feasible", "the search finds the best"}};
  json all = json::array();
  Random random(2);
  for (const Small& s : lattices) {
    const Lattice lattice = lattice_of(s.family, {3, 96, 96}, s.wishes, s.options);
    std::vector<Resources<double>> every;
    for_each_network(lattice, [&](const Found& f) {
      every.push_back(f.use);
      return true;
    });
    int feasible = 0, agree = 0;
    const int draws = budgets / static_cast<int>(lattices.size());
    for (int draw = 0; draw < draws; ++draw) {
      SearchGoal goal;
      goal.weight = {1, 1, 1, 0};
      const Resources<double>& like = every[random.below(static_cast<std::uint32_t>(every.size()))];
      for (std::size_t r = 0; r < 3; ++r) goal.most[r] = like[r] * std::exp2(2 * random.uniform() - 0.9);
      double best = -kUnlimited;
      for (const Resources<double>& use : every)
        if (use[0] <= goal.most[0] && use[1] <= goal.most[1] && use[2] <= goal.most[2])
          best = std::max(best, goal.value(use));
      const SearchResult found = search(lattice, goal);
      feasible += std::isfinite(best);
      agree += found.gap() == 0 &&
               (std::isfinite(best) ? std::abs(found.best.value - best) < 1e-12 : !found.best.any());
    }
    rows.push_back(
        {fmt::format("{} {}{}", s.family, s.wishes.dump(), s.options.empty() ? "" : " " + s.options.dump()),
         format_count(static_cast<std::int64_t>(every.size())), fmt::format("{}", draws),
         fmt::format("{}", feasible), fmt::format("{}", agree)});
    all.push_back({{"family", s.family},
                   {"space", s.wishes},
                   {"networks", every.size()},
                   {"budgets", draws},
                   {"feasible", feasible},
                   {"agree", agree}});
  }
  fmt::print("\nAgainst looking at every network\n{}", format_table(rows));
  return all;
}

int run(int argc, char** argv) {
  int budgets = 200;
  bool fill = false;
  std::string json_file, svg_file;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto next = [&] {
      if (i + 1 == argc) fail("bench_scaling", "{} wants a value", a);
      return std::string(argv[++i]);
    };
    if (a == "--budgets")
      budgets = std::max(4, std::atoi(next().c_str()));
    else if (a == "--json")
      json_file = next();
    else if (a == "--svg")
      svg_file = next();
    else if (a == "--fill")
      fill = true;
    else if (a.starts_with("--benchmark_"))
      continue;  // `make bench` gives all benchmarks the same arguments
    else
      fail_with_hint("bench_scaling", "--budgets N, --json FILE, --fill, --svg FILE", "unknown argument {}",
                     a);
  }
  json all;
  if (fill) {
    all = print_fill(svg_file);
  } else {
    all["solve"] = print_times(budgets);
    all["candidates_a_second"] = print_rates();
    all["exhaustive"] = print_exhaustive(budgets);
  }
  if (!json_file.empty()) write_atomic(json_file, all.dump(2) + "\n");
  return 0;
}

}  // namespace
}  // namespace micromind

int main(int argc, char** argv) {
  try {
    return micromind::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
