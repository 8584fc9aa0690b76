#include "micromind/scaling/design.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/networks/registry.h"

namespace micromind {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

// A network built and costed as everything else in the house does it.
struct Costed {
  json options;
  Graph network;
  Lowered lowered;
  Cost cost;
};

class Designer {
 public:
  explicit Designer(const DesignRequest& request) : request_(request) {
    check_request();
    set_limits();
    space_ = default_space(request.family, request.input);
    narrow(space_, request.space, "design");
    lattice_ = make_lattice(request.family, request.input, request.classes, space_, request.options);
    set_goal();
  }

  Design run() {
    const auto start = Clock::now();
    const SearchResult result = find(goal_, goal_.most[kRam], request_.node_limit);
    if (!result.best.any()) {
      if (!result.complete) fail_with_hint("design", "raise the node limit or narrow the space", "no network was found within {} nodes", request_.node_limit);
      explain_infeasible();
    }
    Design d;
    d.family = request_.family;
    d.options = costed_.options;
    d.network = std::move(costed_.network);
    d.lowered = std::move(costed_.lowered);
    d.cost = std::move(costed_.cost);
    d.objective = result.best.value;
    d.gap = result.gap();
    d.nodes = result.nodes;
    d.candidates = result.candidates;
    d.solve_ms = ms_since(start);
    for (int r = 0; r < kResources; ++r) {
      if (r == kCycles && result.best.use[kCycles] == 0) continue;
      const double used = r == kRam ? static_cast<double>(d.cost.peak_ram_bytes) : result.best.use[at(r)];
      d.resources.push_back({static_cast<Resource>(r), goal_.most[at(r)], used, false, 0});
    }
    note_limits(d);
    if (request_.sensitivity) find_next(result.best, d);
    return d;
  }

 private:
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
    goal_.least[kFlash] = request_.budget.least_flash_bytes.value_or(0);
    goal_.least[kMacs] = request_.budget.least_macs.value_or(0);
  }

  void set_goal() {
    if (request_.objective == Objective::macs) goal_.weight[kMacs] = 1;
    if (request_.objective == Objective::latency) goal_.weight[kCycles] = -1;
    if (request_.objective != Objective::fill) return;
    goal_.weight = request_.weights.value_or(Resources<double>{1, 1, 1, 0});
    for (const double w : goal_.weight)
      if (!(w >= 0 && std::isfinite(w))) fail("design", "weight {}: expected 0 or more", w);
    // Memory without a budget is worth nothing; operations without one still are: they are what the memory is for.
    for (const int r : {kRam, kFlash})
      if (goal_.most[at(r)] == kUnlimited) goal_.weight[at(r)] = 0;
    if (std::all_of(goal_.weight.begin(), goal_.weight.end(), [](double w) { return w == 0; }))
      fail("design", "every weight is 0, or of a resource without a budget: nothing is left to maximise");
  }

  // Names, builds and costs; false when the planner does not reach its bound and the arena exceeds `ram`.
  bool cost(const Found& found, double ram) {
    json options = name_network(lattice_, lattice_.configurations[at(found.configuration)], found.cell, found.widths);
    if (options.empty()) return false;
    Graph network = build_network(request_.family, options);
    Lowered lowered = lower(network);
    Cost cost = estimate_cost(network, lowered);
    if (static_cast<double>(cost.peak_ram_bytes) > ram) return false;
    costed_ = {std::move(options), std::move(network), std::move(lowered), std::move(cost)};
    return true;
  }

  SearchResult find(const Goal& goal, double ram, std::int64_t node_limit) {
    return search(lattice_, goal, {.node_limit = node_limit, .accept = [&](const Found& found) { return cost(found, ram); }});
  }

  // The least of one resource, the others within `most`.
  Found least(int resource, const Resources<double>& most) {
    Goal goal;
    goal.weight[at(resource)] = -1;
    goal.most = most;
    goal.least = goal_.least;
    return find(goal, most[kRam], request_.node_limit).best;
  }

  [[noreturn]] void explain_infeasible() {
    std::vector<std::string> alone, together;
    Resources<double> none;
    none.fill(kUnlimited);
    const auto needs = [&](int r, const Found& found) {
      const double amount = r == kRam ? static_cast<double>(costed_.cost.peak_ram_bytes) : found.use[at(r)];
      return fmt::format("{} {} cannot be met, the smallest budget that could is {}", resource_name(static_cast<Resource>(r)),
                         format_resource(static_cast<Resource>(r), goal_.most[at(r)]), format_resource(static_cast<Resource>(r), amount));
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
    if (together.empty()) fail("design", "no {} fits: each budget can be met, but no two of them together", request_.family);
    fail_with_hint("design", "raise one of them, or allow smaller knobs", "no {} for {} and {} classes fits all budgets at once: {}", request_.family,
                   to_string(request_.input), request_.classes, fmt::join(together, "; or "));
  }

  // Knobs at an end of their range, and budgets that were not given.
  void note_limits(Design& d) const {
    for (const Knob& knob : space_) {
      if (!knob.real || knob.low == knob.high || !d.options.contains(knob.name)) continue;
      const double value = d.options[knob.name], slack = 0.01 * (knob.high - knob.low);
      if (value < knob.low + slack) d.notes.push_back(fmt::format("{} is at the low end of its range, {}: --space {}=… allows less", knob.name, knob.low, knob.name));
      if (value > knob.high - slack) d.notes.push_back(fmt::format("{} is at the high end of its range, {}: --space {}=… allows more", knob.name, knob.high, knob.name));
    }
    if (goal_.most[kMacs] == kUnlimited && goal_.most[kCycles] == kUnlimited)
      d.notes.push_back("no limit on MACs or latency: this is as much computing as the memory holds");
  }

  // The least of each budget, the others as they are, with which a better network exists.
  void find_next(const Found& best, Design& d) {
    const auto start = Clock::now();
    for (ResourceUse& use : d.resources) {
      if (use.budget == kUnlimited || request_.objective == Objective::latency) continue;
      Goal goal = goal_;
      goal.weight = {};
      goal.weight[at(use.resource)] = -1;
      goal.most[at(use.resource)] = kUnlimited;
      goal.least[at(use.resource)] = std::max(goal_.least[at(use.resource)], std::floor(use.budget) + 1);
      goal.quality = goal_.weight;
      goal.quality_above = best.value + 1e-12;
      const SearchResult next = find(goal, goal.most[kRam], request_.node_limit / 10);
      use.binds = next.best.any();
      if (use.binds) use.next = use.resource == kRam ? static_cast<double>(costed_.cost.peak_ram_bytes) : next.best.use[at(use.resource)];
    }
    d.sensitivity_ms = ms_since(start);
  }

  const DesignRequest& request_;
  Space space_;
  Lattice lattice_;
  Goal goal_;
  Costed costed_;
};

}  // namespace

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
  constexpr std::string_view names[] = {"RAM", "flash", "MACs", "cycles"};
  return names[at(resource)];
}

std::string format_resource(Resource resource, double amount) {
  const auto whole = static_cast<std::int64_t>(std::llround(amount));
  return resource == kRam || resource == kFlash ? format_bytes(whole) : format_count(whole);
}

}  // namespace micromind
