#include "micromind/scaling/design.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/networks/registry.h"
#include "micromind/scaling/relaxation.h"

namespace micromind {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

// To the byte, so that the amount can be given back as a budget.
std::string exactly(Resource r, double amount) {
  const std::string text = format_resource(r, amount);
  return (r == kRam || r == kFlash) && amount >= 1024 ? fmt::format("{} ({} B)", text, format_count(std::llround(amount))) : text;
}

// A network built and costed as everything else in the house does it.
struct Costed {
  json options;
  Graph network;
  Lowered lowered;
  Cost cost;
};

}  // namespace

class Designer::Work {
 public:
  explicit Work(const DesignRequest& request) : request_(request) {
    check_request();
    set_limits();
    space_ = default_space(request.family, request.input);
    narrow(space_, request.space, "design");
    const auto start = Clock::now();
    lattice_ = make_lattice(request.family, request.input, request.classes, space_, request.options, cycles());
    lattice_ms_ = ms_since(start);
    set_weights();
  }

  Design run() {
    const auto start = Clock::now();
    Design::Relaxation relaxation;
    const Found first = request_.solver == Solver::bonmin ? relax(relaxation) : Found{};
    const SearchResult result = find(goal_, request_.node_limit, first);
    if (!result.best.any()) {
      if (!result.complete) fail_with_hint("design", "raise the node limit or narrow the space", "no network was found within {} nodes", request_.node_limit);
      explain_infeasible();
    }
    Design d = take(result, lattice_ms_ + ms_since(start));
    d.relaxation = std::move(relaxation);
    if (!trouble_.empty()) d.notes.push_back(fmt::format("Bonmin gave no answer ({}): the exact search went without", trouble_));
    note_limits(d);
    if (request_.sensitivity) find_next(result.best, d);
    return d;
  }

  std::optional<Design> within(const Resources<double>& most) {
    const auto start = Clock::now();
    const SearchGoal whole = goal_;
    for (int r = 0; r < kResources; ++r) goal_.most[at(r)] = std::min(goal_.most[at(r)], most[at(r)]);
    set_weights();
    const SearchResult result = find(goal_, request_.node_limit);
    std::optional<Design> d;
    if (result.best.any()) d = take(result, ms_since(start));
    goal_ = whole;
    if (!d && !result.complete)
      fail_with_hint("design", "raise the node limit or narrow the space", "no network was found within {} nodes", request_.node_limit);
    return d;
  }

  double smallest(Resource resource) {
    Resources<double> none;
    none.fill(kUnlimited);
    const Found found = least(resource, none);
    if (!found.any()) fail("design", "no network of {} was found within {} nodes", request_.family, request_.node_limit);
    return taken(resource, found);
  }

 private:
  // The network found last, as a Design.
  Design take(const SearchResult& result, double ms) {
    Design d;
    d.family = request_.family;
    d.counted = result.best.use;
    d.counted[kRam] = taken(kRam, result.best);
    costed_.lowered = lower(costed_.network);  // what runs
    costed_.cost = estimate_cost(costed_.network, costed_.lowered);
    for (int r = 0; r < kResources; ++r) {
      if (r == kCycles && result.best.use[kCycles] == 0) continue;
      d.resources.push_back({static_cast<Resource>(r), shown(r, goal_.most[at(r)]), shown(r, taken(r, result.best))});
    }
    d.options = costed_.options;
    d.network = std::move(costed_.network);
    d.lowered = std::move(costed_.lowered);
    d.cost = std::move(costed_.cost);
    d.objective = result.best.value;
    d.gap = result.gap();
    d.nodes = result.nodes;
    d.candidates = result.candidates;
    d.solve_ms = ms;
    for (const Knob& knob : space_)
      if (knob.real)
        if (const auto value = lattice_.family->knob(knob.name, d.options)) d.knobs[knob.name] = *value;
    if (result.refused > 0)
      d.notes.push_back(fmt::format("{} networks that promised more were left out: their arena as placed exceeds the budget, or no knob value names them", result.refused));
    if (request_.target && has_latency_model(request_.target->core)) d.latency_ms = 1000 * estimate_latency(d.lowered, *request_.target).seconds;
    return d;
  }

  // Latency costs time to evaluate: only where the question is about it. Throws Error for a core without a model.
  LayerCyclesOf cycles() const {
    const bool wanted = request_.budget.latency_ms || request_.objective == Objective::latency || (request_.weights && (*request_.weights)[kCycles] != 0);
    if (!wanted) return nullptr;
    if (!request_.target) fail_with_hint("design", "name a board: --target", "latency is a board's: its core and its clock");
    const LatencyModel& model = load_latency_model(request_.target->core);
    return [&model](const Graph& lowered, const Node& node) { return model.cycles_by_width(lowered, node); };
  }

  // Cycles as milliseconds; every other resource as it is.
  double shown(int resource, double amount) const {
    return resource == kCycles ? amount * 1000 / static_cast<double>(request_.target->clock_hz) : amount;
  }

  void check_request() const {
    const Budget& b = request_.budget;
    const auto positive = [](const char* name, const std::optional<double>& value) {
      if (value && !(*value > 0 && std::isfinite(*value))) fail("design", "{} = {}: expected more than 0", name, *value);
    };
    positive("RAM", b.ram_bytes);
    positive("flash", b.flash_bytes);
    positive("MACs", b.macs);
    positive("latency", b.latency_ms);
    positive("least flash", b.least_flash_bytes);
    positive("least MACs", b.least_macs);
    if (request_.classes < 1) fail("design", "{} classes: expected at least 1", request_.classes);
    if (!request_.target && !b.ram_bytes && !b.flash_bytes && !b.macs && !b.latency_ms)
      fail_with_hint("design", "give a target, or RAM, flash and MACs", "no budget is given");
    const auto ordered = [](const char* name, const std::optional<double>& least, const std::optional<double>& most, Resource r) {
      if (least && most && *least > *most)
        fail("design", "contradiction: at least {} of {} is asked for and at most {}", format_resource(r, *least), name, format_resource(r, *most));
    };
    ordered("flash", b.least_flash_bytes, b.flash_bytes, kFlash);
    ordered("MACs", b.least_macs, b.macs, kMacs);
    if (request_.objective == Objective::latency && !b.least_flash_bytes && !b.least_macs)
      fail_with_hint("design", "say how large it must be: least flash or least MACs", "the fastest network of all is the smallest one");
  }

  // The tighter of what the target has and what the user allows; more than the target has is a contradiction.
  void set_limits() {
    Budget limit = request_.target ? budget_of(*request_.target) : Budget{};
    const auto tighten = [&](std::optional<double>& have, const std::optional<double>& wish, Resource r) {
      if (!wish) return;
      if (have && *wish > *have)
        fail_with_hint("design", "leave it out to use all that the board has",
                       "contradiction: {} of {} is allowed, but {} has {} for it{}", format_resource(r, *wish), resource_name(r), request_.target->name,
                       format_resource(r, *have), r == kRam ? " (its largest bank, less stack and static data)" : "");
      have = wish;
    };
    tighten(limit.ram_bytes, request_.budget.ram_bytes, kRam);
    tighten(limit.flash_bytes, request_.budget.flash_bytes, kFlash);
    goal_.most = {limit.ram_bytes.value_or(kUnlimited), limit.flash_bytes.value_or(kUnlimited), request_.budget.macs.value_or(kUnlimited), kUnlimited};
    if (request_.budget.latency_ms && request_.target)
      goal_.most[kCycles] = *request_.budget.latency_ms * static_cast<double>(request_.target->clock_hz) / 1000;
    goal_.least[kFlash] = request_.budget.least_flash_bytes.value_or(0);
    goal_.least[kMacs] = request_.budget.least_macs.value_or(0);
  }

  void set_weights() {
    goal_.weight = {};
    if (request_.objective == Objective::macs) goal_.weight[kMacs] = 1;
    if (request_.objective == Objective::latency) goal_.weight[kCycles] = -1;
    if (request_.objective != Objective::fill) return;
    goal_.weight = request_.weights.value_or(Resources<double>{1, 1, 1, 0});
    for (const double w : goal_.weight)
      if (!(w >= 0 && std::isfinite(w))) fail("design", "weight {}: expected 0 or more", w);
    // Memory and time without a budget are worth nothing; operations without one still are: they are what the memory is for.
    for (const int r : {kRam, kFlash, kCycles})
      if (goal_.most[at(r)] == kUnlimited) goal_.weight[at(r)] = 0;
    if (std::all_of(goal_.weight.begin(), goal_.weight.end(), [](double w) { return w == 0; }))
      fail("design", "every weight is 0, or of a resource without a budget: nothing is left to maximise");
  }

  // Names, builds and costs; false when the planner does not reach its bound and the arena exceeds `ram`.
  bool cost(const Found& found, double ram) {
    json options = name_network(lattice_, lattice_.configurations[at(found.configuration)], found.cell, found.widths);
    if (options.empty()) return false;
    Graph network = build_network(request_.family, options);
    // As the search counts: a better order of branches and overlapping tensors take less (width_cost.h).
    Lowered lowered = lower(network, {.order = false});
    Cost cost = estimate_cost(network, lowered, {.overlap = false});
    if (static_cast<double>(cost.peak_ram_bytes) > ram) return false;
    costed_ = {std::move(options), std::move(network), std::move(lowered), std::move(cost)};
    return true;
  }

  SearchResult find(const SearchGoal& goal, std::int64_t node_limit, const Found& first = {}) {
    return search_from(lattice_, goal, first, {.node_limit = node_limit, .accept = [&](const Found& found) { return cost(found, goal.most[kRam]); }});
  }

  // What the network costed last, which is `found`, takes of a resource: of RAM the arena as placed.
  double taken(int resource, const Found& found) const {
    return resource == kRam ? static_cast<double>(costed_.cost.peak_ram_bytes) : found.use[at(resource)];
  }

  // Bonmin on the relaxation; its answer rounded onto the lattice.
  Found relax(Design::Relaxation& relaxation) {
    if (std::any_of(lattice_.configurations.begin(), lattice_.configurations.end(), [](const Configuration& c) { return c.forms.empty(); })) {
      trouble_ = "the knobs are fixed, nothing is left to relax";
      return {};
    }
    const RelaxedOptimum optimum = solve_relaxation(lattice_, goal_);
    if (!optimum.solved) trouble_ = optimum.trouble;
    relaxation = {optimum.solved, optimum.objective, optimum.ms, optimum.solved ? relaxed_options(lattice_, optimum) : json::object()};
    return round_relaxed(lattice_, goal_, optimum);
  }

  // The least of one resource, the others within `most`.
  Found least(int resource, const Resources<double>& most) {
    SearchGoal goal;
    goal.weight[at(resource)] = -1;
    goal.most = most;
    goal.least = goal_.least;
    return find(goal, request_.node_limit).best;
  }

  [[noreturn]] void explain_infeasible() {
    std::vector<std::string> alone, together;
    Resources<double> none;
    none.fill(kUnlimited);
    const auto needs = [&](int r, const Found& found) {
      return fmt::format("{} {} cannot be met, the smallest budget that could is {}", resource_name(static_cast<Resource>(r)),
                         format_resource(static_cast<Resource>(r), shown(r, goal_.most[at(r)])), exactly(static_cast<Resource>(r), shown(r, taken(r, found))));
    };
    for (int r = 0; r < kResources; ++r) {
      if (goal_.most[at(r)] == kUnlimited) continue;
      if (const Found found = least(r, none); found.any() && found.use[at(r)] > goal_.most[at(r)]) alone.push_back(needs(r, found));
    }
    if (!alone.empty())
      fail_with_hint("design", "allow a smaller image (--space resolution=…), smaller knobs, or another family", "no {} for {} and {} classes fits: {}",
                     request_.family, to_string(request_.input), request_.classes, fmt::join(alone, "; "));
    for (int r = 0; r < kResources; ++r) {
      if (goal_.most[at(r)] == kUnlimited) continue;
      Resources<double> others = goal_.most;
      others[at(r)] = kUnlimited;
      if (const Found found = least(r, others); found.any()) together.push_back(needs(r, found) + " beside the others");
    }
    if (together.empty()) explain_nothing(none);
    fail_with_hint("design", "raise one of them, or allow smaller knobs", "no {} for {} and {} classes fits all budgets at once: {}", request_.family,
                   to_string(request_.input), request_.classes, fmt::join(together, "; or "));
  }

  // Not even with one of the budgets gone: what is asked for at least is more than there is, or budgets clash two by two.
  [[noreturn]] void explain_nothing(const Resources<double>& none) {
    for (const int r : {kFlash, kMacs}) {
      if (goal_.least[at(r)] <= 0) continue;
      SearchGoal largest;
      largest.weight[at(r)] = 1;
      largest.most = none;
      const Found found = find(largest, request_.node_limit).best;
      if (found.any() && found.use[at(r)] < goal_.least[at(r)])
        fail_with_hint("design", "ask for less, or allow larger knobs (--space)", "at least {} of {} is asked for, the largest {} of the space has {}",
                       format_resource(static_cast<Resource>(r), goal_.least[at(r)]), resource_name(static_cast<Resource>(r)), request_.family,
                       exactly(static_cast<Resource>(r), found.use[at(r)]));
    }
    SearchGoal any;
    if (!find(any, request_.node_limit).best.any())
      fail_with_hint("design", "widen the knobs (--space)", "the space holds no network: for every value of its knobs a width is nothing");
    fail_with_hint("design", "raise more than one of them, or allow smaller knobs", "no {} fits: each budget can be met, but no two of them together", request_.family);
  }

  // Knobs at an end of their range, and budgets that were not given.
  void note_limits(Design& d) const {
    for (const Knob& knob : space_) {
      if (!knob.real || knob.low == knob.high || !d.knobs.contains(knob.name)) continue;
      const double value = d.knobs.at(knob.name), slack = 0.01 * (knob.high - knob.low);
      if (value < knob.low + slack) d.notes.push_back(fmt::format("{} is at the low end of its range, {}: --space {}=… allows less", knob.name, knob.low, knob.name));
      if (value > knob.high - slack) d.notes.push_back(fmt::format("{} is at the high end of its range, {}: --space {}=… allows more", knob.name, knob.high, knob.name));
    }
    if (request_.objective != Objective::latency && goal_.most[kMacs] == kUnlimited && goal_.most[kCycles] == kUnlimited)
      d.notes.push_back("no limit on MACs or latency: this is as much computing as the memory holds");
  }

  // The least of each budget, the others as they are, with which a better network exists.
  void find_next(const Found& best, Design& d) {
    const auto start = Clock::now();
    for (ResourceUse& use : d.resources) {
      const double budget = goal_.most[at(use.resource)];
      if (budget == kUnlimited || request_.objective == Objective::latency) continue;
      SearchGoal goal = goal_;
      goal.weight = {};
      goal.weight[at(use.resource)] = -1;
      goal.most[at(use.resource)] = kUnlimited;
      goal.least[at(use.resource)] = std::max(goal_.least[at(use.resource)], std::floor(budget) + 1);
      goal.quality = goal_.weight;
      goal.quality_above = best.value + 1e-12;
      const SearchResult next = find(goal, request_.node_limit / 10);
      use.searched = next.complete || next.best.any();
      use.binds = next.best.any();
      if (use.binds) use.next = shown(use.resource, taken(use.resource, next.best));
      if (use.binds && use.resource == kRam && d.counted[kRam] > use.used)
        d.notes.push_back(fmt::format("the search budgets RAM for tensors that lie apart, {} here; outputs over dying inputs make it {} on the chip",
                                      format_resource(kRam, d.counted[kRam]), format_resource(kRam, use.used)));
    }
    d.sensitivity_ms = ms_since(start);
  }

  DesignRequest request_;
  Space space_;
  Lattice lattice_;
  double lattice_ms_ = 0;
  std::string trouble_;  // Bonmin's
  SearchGoal goal_;
  Costed costed_;
};

Designer::Designer(const DesignRequest& request) : work_(std::make_unique<Work>(request)) {}
Designer::~Designer() = default;
Design Designer::run() { return work_->run(); }
std::optional<Design> Designer::within(const Resources<double>& most) { return work_->within(most); }
double Designer::smallest(Resource resource) { return work_->smallest(resource); }

Design design(const DesignRequest& request) { return Designer(request).run(); }

Budget budget_of(const Target& target) {
  double room = 0;
  for (const MemoryBank& bank : target.ram) room = std::max(room, static_cast<double>(place_arena(target, bank.bytes + 1).room()));
  Budget b;
  b.ram_bytes = room;
  b.flash_bytes = static_cast<double>(target.flash.bytes);
  return b;
}

Objective objective_from_name(std::string_view name) {
  for (const Objective o : {Objective::fill, Objective::macs, Objective::latency})
    if (name == objective_name(o)) return o;
  const std::vector<std::string> known = {"fill", "macs", "latency"};
  fail_with_hint("design", name_hint(name, known), "unknown objective '{}'", name);
}

std::string_view objective_name(Objective objective) {
  switch (objective) {
    case Objective::macs: return "macs";
    case Objective::latency: return "latency";
    case Objective::fill: break;
  }
  return "fill";
}

Solver solver_from_name(std::string_view name) {
  if (name == "exact") return Solver::exact;
  if (name == "bonmin") return Solver::bonmin;
  const std::vector<std::string> known = {"exact", "bonmin"};
  fail_with_hint("design", name_hint(name, known), "unknown solver '{}'", name);
}

std::string_view resource_name(Resource resource) {
  constexpr std::string_view names[] = {"RAM", "flash", "MACs", "latency"};
  return names[at(resource)];
}

std::string format_resource(Resource resource, double amount) {
  if (resource == kCycles) return fmt::format("{:.4g} ms", amount);
  const auto whole = static_cast<std::int64_t>(std::llround(amount));
  return resource == kRam || resource == kFlash ? format_bytes(whole) : format_count(whole);
}

}  // namespace micromind
