#include "micromind/bench/latency_fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/bench/nnls.h"
#include "micromind/deploy/cycle_model.h"

namespace micromind {
namespace {

constexpr std::size_t kHoldOut = 3;  // every third layer

struct Sample {
  std::string kernel, variant;
  LatencyFeatures features;
  double instructions = 0, cycles = 0;
};

Sample sample(const CountedLayer& layer, const CycleTable& table) {
  return {layer.kernel, layer.variant, layer.features, static_cast<double>(layer.counts.total()),
          estimate_cycles(layer.counts, table)};
}

Terms terms(const LatencyFeatures& f) {
  return {f.calls, f.positions, f.outputs, f.inputs, f.work, f.windows, f.edges, f.taps};
}

double rounded(double v) {
  return std::round(v * 1e4) / 1e4;
}  // the file is for reading too

KernelLatency fit(const std::vector<const Sample*>& samples, double Sample::*figure) {
  std::vector<Observation> observations;
  for (const Sample* s : samples) observations.push_back({terms(s->features), s->*figure});
  const Terms x = fit_not_negative(observations);
  return {rounded(x[0]), rounded(x[1]), rounded(x[2]), rounded(x[3]), rounded(x[4]), rounded(x[5]), rounded(x[6]), rounded(x[7])};
}

// A variant's own layers; for "" of a convolution all windows, since it serves those that have no row.
bool trains(const Sample& s, const std::string& kernel, const std::string& variant) {
  if (s.kernel != kernel) return false;
  if (s.variant == variant) return true;
  return variant.empty() && (kernel == "conv2d_s8" || kernel == "depthwise_conv2d_s8") &&
         s.variant != "pointwise" && s.variant != "single" && s.variant != "grouped";
}

const KernelLatency* prediction(const LatencyModel& model, const Sample& s,
                                KernelLatency LatencyRow::*figure) {
  const LatencyRow* generic = nullptr;
  for (const LatencyRow& row : model.rows()) {
    if (row.kernel != s.kernel) continue;
    if (row.variant == s.variant) return &(row.*figure);
    if (row.variant.empty()) generic = &row;
  }
  return generic == nullptr ? nullptr : &(generic->*figure);
}

FitError error_of(const std::string& name, const std::vector<const Sample*>& samples,
                  const LatencyModel& model, double Sample::*figure,
                  KernelLatency LatencyRow::*coefficients) {
  FitError e{name, 0, 0, 0, 0};
  double predicted = 0, counted = 0;
  for (const Sample* s : samples) {
    const KernelLatency* k = prediction(model, *s, coefficients);
    if (k == nullptr) fail("bench", "no layer of {} was counted", s->kernel);
    const double guess = k->at(s->features), truth = s->*figure;
    const double off = std::abs(guess - truth) / truth;
    ++e.layers;
    e.mean += off;
    e.worst = std::max(e.worst, off);
    predicted += guess;
    counted += truth;
  }
  if (e.layers > 0) {
    e.mean /= e.layers;
    e.total = predicted / counted - 1;
  }
  return e;
}

nlohmann::json errors_to_json(const std::vector<FitError>& errors) {
  nlohmann::json list = nlohmann::json::array();
  for (const FitError& e : errors)
    list.push_back({{"name", e.name},
                    {"layers", e.layers},
                    {"mean_error", e.mean},
                    {"worst_error", e.worst},
                    {"total_error", e.total}});
  return list;
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

}  // namespace

LatencyFit fit_latency(const Target& target, const Progress& progress) {
  const CycleTable* table = cycle_table(target.core);
  if (table == nullptr) fail("bench", "there is no cycle table of {}", core_name(target.core));
  std::vector<LatencyCase> cases = latency_cases();
  const std::vector<Graph> networks = latency_networks();
  std::vector<Graph> graphs;
  for (LatencyCase& c : cases) graphs.push_back(std::move(c.graph));
  graphs.insert(graphs.end(), networks.begin(), networks.end());
  const auto counted = count_layers(graphs, roomy_machine(target), progress);

  std::vector<Sample> trained, held_out;
  std::map<std::pair<std::string, std::string>, std::size_t> seen;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto layer = std::find_if(counted[i].begin(), counted[i].end(),
                                    [&](const CountedLayer& l) { return l.kernel == cases[i].kernel; });
    if (layer == counted[i].end())
      fail("bench", "a layer of {} was lowered to something else", cases[i].kernel);
    const std::size_t index = seen[{layer->kernel, layer->variant}]++;
    (index % kHoldOut == 1 ? held_out : trained).push_back(sample(*layer, *table));
  }

  LatencyFit result;
  result.trained = static_cast<int>(trained.size());
  std::vector<LatencyRow> rows;
  for (const auto& [key, count] : seen) {
    std::vector<const Sample*> group;
    for (const Sample& s : trained)
      if (trains(s, key.first, key.second)) group.push_back(&s);
    rows.push_back({key.first, key.second, fit(group, &Sample::instructions), fit(group, &Sample::cycles)});
  }
  result.model = LatencyModel(target.core, std::move(rows));
  for (const LatencyRow& row : result.model.rows()) {
    std::vector<const Sample*> group;
    for (const Sample& s : held_out)
      if (s.kernel == row.kernel && s.variant == row.variant) group.push_back(&s);
    const std::string name = row.kernel + (row.variant.empty() ? "" : " " + row.variant);
    result.held_out_instructions.push_back(
        error_of(name, group, result.model, &Sample::instructions, &LatencyRow::instructions));
    result.held_out_cycles.push_back(
        error_of(name, group, result.model, &Sample::cycles, &LatencyRow::cycles));
  }
  for (std::size_t n = 0; n < networks.size(); ++n) {
    std::vector<Sample> layers;
    for (const CountedLayer& layer : counted[cases.size() + n])
      if (!layer.kernel.empty()) layers.push_back(sample(layer, *table));
    std::vector<const Sample*> all;
    for (const Sample& s : layers) all.push_back(&s);
    result.network_instructions.push_back(
        error_of(networks[n].name, all, result.model, &Sample::instructions, &LatencyRow::instructions));
    result.network_cycles.push_back(
        error_of(networks[n].name, all, result.model, &Sample::cycles, &LatencyRow::cycles));
  }
  return result;
}

std::string fit_table(const LatencyFit& fit) {
  std::vector<std::vector<std::string>> rows = {
      {"held out", "layers", "instructions, mean", "worst", "sum", "cycles, mean", "worst", "sum"}};
  const auto add = [&](const std::vector<FitError>& instructions, const std::vector<FitError>& cycles) {
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      const FitError &a = instructions[i], &b = cycles[i];
      rows.push_back({a.name, std::to_string(a.layers), percent(a.mean), percent(a.worst),
                      fmt::format("{:+.1f} %", 100 * a.total), percent(b.mean), percent(b.worst),
                      fmt::format("{:+.1f} %", 100 * b.total)});
    }
  };
  add(fit.held_out_instructions, fit.held_out_cycles);
  add(fit.network_instructions, fit.network_cycles);
  return format_table(rows);
}

nlohmann::json fit_to_json(const LatencyFit& fit) {
  return {{"core", core_name(fit.model.core())},
          {"trained_layers", fit.trained},
          {"held_out_instructions", errors_to_json(fit.held_out_instructions)},
          {"held_out_cycles_model", errors_to_json(fit.held_out_cycles)},
          {"network_instructions", errors_to_json(fit.network_instructions)},
          {"network_cycles_model", errors_to_json(fit.network_cycles)}};
}

}  // namespace micromind
