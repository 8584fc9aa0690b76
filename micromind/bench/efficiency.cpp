#include "micromind/bench/efficiency.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/deploy/cycle_model.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

OperatorFigure figure_of(const OperatorCase& c) {
  OperatorFigure figure;
  figure.operator_name = c.name;
  figure.size = c.size;
  figure.channels = c.channels;
  figure.macs = c.macs;
  return figure;
}

// "Cortex-M4" of "cortex-m4".
std::string core_label(Core core) {
  std::string label(core_name(core));
  for (std::size_t i = 0; i < label.size(); ++i)
    if (i == 0 || label[i - 1] == '-')
      label[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(label[i])));
  return label;
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs the model for at least `seconds`; the time of one execution.
double time_one(Int8Executor& executor, double seconds, std::int64_t& repeats) {
  for (;;) {
    const double start = now_s();
    for (std::int64_t i = 0; i < repeats; ++i) executor.run();
    const double took = now_s() - start;
    if (took >= seconds) return took / static_cast<double>(repeats);
    repeats = std::max(repeats + 1,
                       static_cast<std::int64_t>(static_cast<double>(repeats) *
                                                 std::min(20.0, 1.2 * seconds / std::max(took, 1e-7))));
  }
}

void time_case(const OperatorCase& c, const HostOptions& options, EnergyCounter& energy,
               OperatorFigure& figure) {
  const Model model = random_model(c.graph);
  Int8Executor executor(model);
  const std::vector<std::int8_t> input = random_input(model);
  std::copy(input.begin(), input.end(), executor.input(0).begin());
  std::int64_t repeats = 1;
  time_one(executor, options.sample_s, repeats);  // warms and finds the repeats
  std::vector<double> samples;
  energy.start();
  const double start = now_s();
  for (int i = 0; i < options.samples; ++i) samples.push_back(time_one(executor, options.sample_s, repeats));
  const double took = now_s() - start;
  std::sort(samples.begin(), samples.end());
  figure.seconds = samples[samples.size() / 2];
  figure.seconds_best = samples.front();
  if (energy.available()) figure.energy_uj = energy.joules() * 1e6 * figure.seconds / took;
  figure.energy = figure.energy_uj.value_or(figure.seconds);
}

}  // namespace

void set_eta(PlatformEfficiency& platform) {
  for (OperatorFigure& figure : platform.figures) {
    const auto standard =
        std::find_if(platform.figures.begin(), platform.figures.end(), [&](const OperatorFigure& other) {
          return other.operator_name == "standard" && other.size == figure.size;
        });
    if (standard == platform.figures.end())
      fail("bench", "{}: size {} has no standard convolution to compare with", platform.name,
           figure.size.text());
    figure.eta = (standard->energy / static_cast<double>(standard->macs)) /
                 (figure.energy / static_cast<double>(figure.macs));
  }
}

EtaRange eta_range(const PlatformEfficiency& platform, const std::string& operator_name) {
  EtaRange range{0, std::numeric_limits<double>::infinity(), 0};
  int count = 0;
  for (const OperatorFigure& f : platform.figures) {
    if (f.operator_name != operator_name) continue;
    range.mean += std::log(f.eta);
    range.low = std::min(range.low, f.eta);
    range.high = std::max(range.high, f.eta);
    ++count;
  }
  const double none = std::numeric_limits<double>::quiet_NaN();
  if (count == 0) return {none, none, none};
  range.mean = std::exp(range.mean / count);
  return range;
}

PlatformEfficiency emulate_operators(const std::vector<OperatorSize>& sizes, const Target& target,
                                     const Progress& progress) {
  const CycleTable* table = cycle_table(target.core);
  if (table == nullptr)
    fail("bench", "there is no cycle table of {} ({})", core_name(target.core), target.name);
  const std::vector<OperatorCase> cases = operator_cases(sizes);
  std::vector<Graph> graphs;
  for (const OperatorCase& c : cases) graphs.push_back(c.graph);
  const auto counted = count_layers(graphs, roomy_machine(target), progress);
  PlatformEfficiency platform{
      target.name, core_label(target.core) + " (model)", PlatformKind::emulated, {}, {}};
  platform.energy_is =
      target.power ? fmt::format("a model: estimated cycles at {} MHz × {} mW ({})",
                                 target.clock_hz / 1'000'000, target.power->active_mw, target.power->source)
                   : "a model: estimated cycles; the target states no power, and the ratio needs none";
  for (std::size_t i = 0; i < cases.size(); ++i) {
    OperatorFigure figure = figure_of(cases[i]);
    for (const CountedLayer& layer : counted[i]) figure.counts += layer.counts;
    figure.cycles_model = estimate_cycles(figure.counts, *table);
    if (target.power)
      figure.energy_uj_model =
          figure.cycles_model / static_cast<double>(target.clock_hz) * target.power->active_mw * 1e3;
    figure.energy = figure.energy_uj_model.value_or(figure.cycles_model);
    platform.figures.push_back(std::move(figure));
  }
  set_eta(platform);
  return platform;
}

PlatformEfficiency time_operators(const std::vector<OperatorSize>& sizes, const HostOptions& options,
                                  const Progress& progress) {
  EnergyCounter energy(options.powercap);
  PlatformEfficiency platform{"this computer", "this computer", PlatformKind::host, {}, {}};
  platform.energy_is = energy.available()
                           ? "energy of the processor packages, RAPL"
                           : fmt::format("time: energy cannot be read here ({})", energy.why_not());
  platform.label += energy.available() ? " (energy)" : " (time)";
  HostOptions longer = options;
  if (energy.available())
    longer.sample_s = std::max(options.sample_s, 0.04);  // the counters move every millisecond
  const std::vector<OperatorCase> cases = operator_cases(sizes);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (interrupted()) throw Interrupted("bench", "interrupted");
    if (progress && (i == 0 || cases[i].size != cases[i - 1].size))
      progress(fmt::format("this computer: size {}", cases[i].size.text()));
    OperatorFigure figure = figure_of(cases[i]);
    time_case(cases[i], longer, energy, figure);
    platform.figures.push_back(std::move(figure));
  }
  set_eta(platform);
  return platform;
}

}  // namespace micromind
