#include "micromind/cost/energy.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

// Cycles an instruction of int8 networks on boards: published timings of MLPerf Tiny's models over instruction counts of the same
// runtimes' kernels on emulated cores.
struct Published {
  Core core;
  double low, high;
};
constexpr Published kPublished[] = {{Core::kCortexM4, 1.15, 1.25}, {Core::kCortexM7, 0.73, 0.96}, {Core::kCortexM55, 0.85, 1.0}};

const Published* published(Core core) {
  const auto found = std::find_if(std::begin(kPublished), std::end(kPublished), [&](const Published& p) { return p.core == core; });
  return found == std::end(kPublished) ? nullptr : found;
}

double wait_cycles(const Work& work, const Target& target) {
  const FlashTiming* timing = target.flash_timing ? &*target.flash_timing : nullptr;
  return timing == nullptr ? 0 : std::ceil(work.constant_bytes / static_cast<double>(timing->line_bytes)) * timing->wait_cycles;
}

std::string basis_text(const Work& work, const Target& target, const EnergyEstimate& e) {
  std::string text = fmt::format("cycles {}, {:.2f} an instruction, at {:g} MHz", work.basis, work.cycles / work.instructions, e.clock_hz / 1e6);
  if (target.power)
    text += fmt::format("; {:g} mW while computing ({})", target.power->active_mw, target.power->source);
  else
    text += fmt::format("; {} states no power: no energy", target.name);
  if (target.power)
    text += target.power->sleep_mw ? fmt::format("; asleep {:g} mW ({})", *target.power->sleep_mw, target.power->sleep_source)
                                   : std::string("; the power asleep is not known and taken as 0, so frames a second are an upper bound");
  return text;
}

std::string error_text(const Target& target, const EnergyEstimate& e) {
  std::string text;
  if (const Published* p = published(target.core))
    text = fmt::format("the range spans {:g} to {:g} cycles an instruction, as published board timings of int8 kernels have on a {}", p->low, p->high, core_name(target.core));
  else
    text = fmt::format("no published board timing to compare with on a {}: how far off the cycle table is, is not known", core_name(target.core));
  if (target.flash_timing)
    text += fmt::format("; upwards {} cycles for every line of constants once from flash ({} cycles a line of {} bytes, {})", format_count(std::llround(e.wait_cycles)),
                        target.flash_timing->wait_cycles, target.flash_timing->line_bytes, target.flash_timing->source);
  else
    text += "; wait states of the flash are not known and not in it";
  return text;
}

OperatingPoint point(double budget_mw, const EnergyEstimate& e, const Power& power) {
  const double sleep = power.sleep_mw.value_or(0);
  const auto frames = [&](double microjoules, double seconds) {
    const double spare = budget_mw - sleep, extra = microjoules * 1e-3 - sleep * seconds;  // mW, mJ
    if (spare <= 0) return 0.0;
    return extra <= 0 ? 1 / seconds : std::min(1 / seconds, spare / extra);
  };
  OperatingPoint p{budget_mw, frames(e.microjoules->likely, e.seconds.likely), frames(e.microjoules->high, e.seconds.high),
                   frames(e.microjoules->low, e.seconds.low), 0};
  p.duty = p.frames_per_second * e.seconds.likely;
  return p;
}

nlohmann::json range_json(const EstimateRange& r) { return {{"low", r.low}, {"likely", r.likely}, {"high", r.high}}; }

// Three digits, never an exponent.
std::string three(double value) { return value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value); }

}  // namespace

std::string format_energy(double microjoules) {
  return microjoules < 1e3 ? three(microjoules) + " µJ" : microjoules < 1e6 ? three(microjoules / 1e3) + " mJ" : three(microjoules / 1e6) + " J";
}

std::string format_time(double seconds) {
  return seconds < 1e-3 ? three(seconds * 1e6) + " µs" : seconds < 1 ? three(seconds * 1e3) + " ms" : three(seconds) + " s";
}

std::vector<double> default_power_budgets() { return {10, 20}; }

EnergyEstimate estimate_energy(const Work& work, const Target& target, const std::vector<double>& budgets_mw) {
  if (!(work.instructions > 0) || !(work.cycles > 0)) fail("energy", "{}: there is no work to estimate", target.name);
  EnergyEstimate e;
  e.target = target.name;
  e.clock_hz = static_cast<double>(target.clock_hz);
  e.wait_cycles = wait_cycles(work, target);
  e.cycles = {work.cycles, work.cycles, work.cycles};
  if (const Published* p = published(target.core)) {
    e.cycles.low = std::min(work.cycles, work.instructions * p->low);
    e.cycles.high = std::max(work.cycles, work.instructions * p->high);
  }
  e.cycles.high += e.wait_cycles;
  const auto scaled = [](const EstimateRange& r, double factor) { return EstimateRange{r.low * factor, r.likely * factor, r.high * factor}; };
  e.seconds = scaled(e.cycles, 1 / e.clock_hz);
  if (target.power) {
    e.microjoules = scaled(e.seconds, target.power->active_mw * 1e3);
    for (const double budget : budgets_mw) e.points.push_back(point(budget, e, *target.power));
  }
  e.basis = basis_text(work, target, e);
  e.error = error_text(target, e);
  return e;
}

double parse_power(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const double scale = unit == "mW" ? 1 : unit == "W" ? 1e3 : unit == "uW" || unit == "µW" ? 1e-3 : 0;
  if (error != std::errc{} || scale == 0 || !(value > 0) || !std::isfinite(value) || value * scale > 1e9)
    fail_with_hint("power", "for example 10mW, 0.5W or 800uW", "'{}' is no power", text);
  return value * scale;
}

std::vector<double> parse_powers(const std::vector<std::string>& texts) {
  std::vector<double> budgets;
  for (const std::string& text : texts) budgets.push_back(parse_power(text));
  return budgets.empty() ? default_power_budgets() : budgets;
}

std::string energy_text(const EnergyEstimate& e) {
  std::string text = fmt::format("  time          about {} ({} to {}), an estimate\n", format_time(e.seconds.likely), format_time(e.seconds.low), format_time(e.seconds.high));
  if (e.microjoules)
    text += fmt::format("  energy        about {} ({} to {}), an estimate\n", format_energy(e.microjoules->likely), format_energy(e.microjoules->low),
                        format_energy(e.microjoules->high));
  for (const OperatingPoint& p : e.points)
    text += p.frames_per_second > 0 ? fmt::format("  at {:<8}   {} frames a second ({} to {}), awake {:.3g} % of the time\n", fmt::format("{:g} mW", p.budget_mw), three(p.frames_per_second),
                                                  three(p.least), three(p.most), 100 * p.duty)
                                    : fmt::format("  at {:g} mW: less than it draws asleep\n", p.budget_mw);
  return text + fmt::format("  basis         {}\n  error         {}\n", e.basis, e.error);
}

nlohmann::json to_json(const EnergyEstimate& e) {
  nlohmann::json points = nlohmann::json::array();
  for (const OperatingPoint& p : e.points)
    points.push_back({{"budget_mw", p.budget_mw}, {"frames_per_second", p.frames_per_second}, {"frames_per_second_least", p.least}, {"frames_per_second_most", p.most}, {"duty", p.duty}});
  return {{"target", e.target}, {"clock_hz", e.clock_hz}, {"cycles_estimate", range_json(e.cycles)}, {"seconds_estimate", range_json(e.seconds)},
          {"energy_uj_estimate", e.microjoules ? range_json(*e.microjoules) : nlohmann::json(nullptr)}, {"wait_cycles", e.wait_cycles},
          {"operating_points", std::move(points)}, {"basis", e.basis}, {"error", e.error}};
}

}  // namespace micromind
