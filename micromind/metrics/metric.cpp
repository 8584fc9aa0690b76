#include "micromind/metrics/metric.h"

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::train: return "train";
    case Stage::validation: return "validation";
    case Stage::test: return "test";
  }
  fail("metrics", "unknown stage {}", static_cast<int>(stage));
}

Metrics with_stage(Stage stage, const Metrics& metrics) {
  Metrics named;
  for (const auto& [name, value] : metrics) named[fmt::format("{}/{}", stage_name(stage), name)] = value;
  return named;
}

Metrics MetricSet::values() const {
  Metrics values;
  for (const Metric* metric : all()) metric->report(values);
  return values;
}

void MetricSet::reset() {
  for (Metric* metric : all()) metric->reset();
}

bool MetricSet::higher_is_better(std::string_view name) const {
  std::vector<std::string> known;
  for (const Metric* metric : all()) {
    known.push_back(metric->name());
    if (known.back() == name) return metric->higher_is_better();
  }
  fail_with_hint("metrics", name_hint(name, known), "no metric '{}'", name);
}

std::map<std::string, std::vector<double>> MetricSet::state() const {
  std::map<std::string, std::vector<double>> state;
  for (const Metric* metric : all()) state[metric->name()] = metric->state();
  return state;
}

void MetricSet::load(const std::map<std::string, std::vector<double>>& state) {
  const std::vector<Metric*> metrics = all();
  for (Metric* metric : metrics) {
    const auto found = state.find(metric->name());
    if (found == state.end()) fail("metrics", "the state has no '{}'", metric->name());
    metric->load(found->second);
  }
  if (state.size() != metrics.size()) fail("metrics", "the state has {} metrics, expected {}", state.size(), metrics.size());
}

}  // namespace micromind
