// A validation as JSON and as text.
#include <cmath>
#include <nlohmann/json.hpp>

#include "micromind/base/text.h"
#include "micromind/deploy/validate.h"

#include <fmt/format.h>

namespace micromind {
namespace {

using nlohmann::json;

json to_json(const Agreement& a) {
  json object = to_json(a.difference);
  object["argmax_agreement"] = a.argmax;
  return object;
}

json to_json(const ClassificationResult& r) {
  return {{"top1", r.top1}, {"top5", r.top5}, {"loss", r.loss}, {"samples", r.samples}, {"confusion", r.confusion}, {"class_accuracy", r.class_accuracy}};
}

template <class T>
json optional_json(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

std::string error_text(double value) { return fmt::format("{:.3g}", value); }

std::string seconds_text(double s) {
  return s >= 1 ? fmt::format("{:.2f} s", s) : s >= 1e-3 ? fmt::format("{:.2f} ms", s * 1e3) : fmt::format("{:.1f} us", s * 1e6);
}

std::string agreement_line(std::string_view what, const Agreement& a) {
  const OutputDifference& d = a.difference;
  return fmt::format("  {:<22}RMSE {}, MAE {}, L2r {}, cosine {:.6f}, largest {}, argmax {:.2f} %\n", what, error_text(d.rmse), error_text(d.mae),
                     error_text(d.relative_l2), d.cosine, error_text(d.largest), 100 * a.argmax);
}

std::string confusion_text(const ClassificationResult& r) {
  if (r.confusion.size() > 16) return "";
  std::vector<std::vector<std::string>> rows(1, {"class"});
  for (std::size_t k = 0; k < r.confusion.size(); ++k) rows[0].push_back(std::to_string(k));
  for (std::size_t k = 0; k < r.confusion.size(); ++k) {
    rows.push_back({std::to_string(k)});
    for (const std::int64_t count : r.confusion[k]) rows.back().push_back(std::to_string(count));
  }
  return "\nConfusion on the chip (rows: label, columns: answer)\n" + format_table(rows);
}

}  // namespace

json to_json(const Validation& v) {
  const Proof& p = v.proof;
  json layers = json::array();
  for (const LayerMeasurement& l : p.layers) {
    json layer = to_json(l);
    layer["bytes_compared"] = l.bytes;
    layer["bytes_differing"] = l.differing;
    layer["cycles_estimate"] = optional_json(l.cycles);
    layer["seconds_estimate"] = l.cycles && v.cycles_estimate && *v.cycles_estimate > 0
                                    ? json(*l.cycles / *v.cycles_estimate * *v.seconds_estimate)
                                    : json(nullptr);
    layers.push_back(std::move(layer));
  }
  json object = {{"model", v.model},
                 {"target", v.target},
                 {"core", v.core},
                 {"device", v.device},
                 {"emulated", v.emulated},
                 {"compiler", v.compiler},
                 {"passed", v.passed()},
                 {"inputs", p.outputs_compared},
                 {"layer_inputs", v.layer_inputs},
                 {"outputs_compared", p.outputs_compared},
                 {"outputs_identical", p.outputs_identical},
                 {"first_difference", p.first_difference},
                 {"macs", v.macs},
                 {"arena_bytes", v.arena_bytes},
                 {"arena_used_bytes", v.arena_used_bytes},
                 {"stack_bytes", v.stack_bytes},
                 {"instructions", v.instructions},
                 {"instructions_most", v.instructions_most},
                 {"cycles_estimate", optional_json(v.cycles_estimate)},
                 {"seconds_estimate", optional_json(v.seconds_estimate)},
                 {"seconds_measured", optional_json(v.seconds_measured)},
                 {"ticks", optional_json(v.ticks)},
                 {"time_basis", v.time_basis},
                 {"to_host", to_json(p.to_host)},
                 {"layers", std::move(layers)}};
  if (p.to_float) object["to_float"] = to_json(*p.to_float);
  if (p.host_to_float) object["host_to_float"] = to_json(*p.host_to_float);
  if (p.chip_accuracy) object["chip_accuracy"] = to_json(*p.chip_accuracy);
  if (p.host_accuracy) object["host_accuracy"] = to_json(*p.host_accuracy);
  if (p.float_accuracy) object["float_accuracy"] = to_json(*p.float_accuracy);
  return object;
}

std::string validation_table(const Validation& v) {
  const std::vector<LayerMeasurement>& layers = v.proof.layers;
  bool counted = false, timed = false, compared = false, real = false;
  for (const LayerMeasurement& l : layers) {
    counted |= l.instructions > 0;
    timed |= l.cycles.has_value();
    compared |= l.to_host.has_value();
    real |= l.to_float.has_value();
  }
  std::vector<std::vector<std::string>> rows(1, {"layer", "kernel", "MACs"});
  const auto head = [&](bool shown, std::initializer_list<const char*> names) {
    if (shown) rows[0].insert(rows[0].end(), names.begin(), names.end());
  };
  head(counted, {"instructions", "per MAC"});
  head(timed, {"time (estimate)"});
  head(compared, {"bytes", "other"});
  head(real, {"RMSE to float", "MAE", "L2r", "cosine"});
  for (const LayerMeasurement& l : layers) {
    std::vector<std::string> row = {l.name, l.kernel, format_count(l.macs)};
    if (counted) {
      row.push_back(format_count(l.instructions));
      row.push_back(l.macs > 0 ? fmt::format("{:.2f}", static_cast<double>(l.instructions) / static_cast<double>(l.macs)) : "");
    }
    if (timed) row.push_back(seconds_text(l.cycles.value_or(0) / *v.cycles_estimate * *v.seconds_estimate));
    if (compared) {
      row.push_back(format_count(l.bytes));
      row.push_back(format_count(l.differing));
    }
    if (real && l.to_float)
      row.insert(row.end(), {error_text(l.to_float->rmse), error_text(l.to_float->mae), error_text(l.to_float->relative_l2), fmt::format("{:.5f}", l.to_float->cosine)});
    row.resize(rows[0].size());
    rows.push_back(std::move(row));
  }
  return format_table(rows);
}

std::string validation_text(const Validation& v) {
  const Proof& p = v.proof;
  std::string text;
  if (!p.first_difference.empty()) text += "  first difference      " + p.first_difference + "\n";
  text += agreement_line("chip against host", p.to_host);
  if (p.host_to_float) text += agreement_line("host against float", *p.host_to_float);
  if (p.to_float) text += agreement_line("chip against float", *p.to_float);
  const auto accuracy = [&](std::string_view what, const std::optional<ClassificationResult>& r) {
    if (r) text += fmt::format("  {:<22}{:.2f} % of {} inputs\n", what, 100 * r->top1, r->samples);
  };
  accuracy("accuracy, chip", p.chip_accuracy);
  accuracy("accuracy, host", p.host_accuracy);
  accuracy("accuracy, float", p.float_accuracy);
  if (v.instructions > 0)
    text += fmt::format("  {:<22}{} an inference{}, at most {}\n", "instructions", format_count(v.instructions),
                        v.macs > 0 ? fmt::format(" ({:.2f} a MAC)", static_cast<double>(v.instructions) / static_cast<double>(v.macs)) : "",
                        format_count(v.instructions_most));
  if (v.seconds_measured) text += fmt::format("  {:<22}{} an inference, measured by the board\n", "time", seconds_text(*v.seconds_measured));
  else if (v.ticks) text += fmt::format("  {:<22}{} of the board's counter\n", "ticks", format_count(*v.ticks));
  if (v.seconds_estimate)
    text += fmt::format("  {:<22}{} at the clock of {}: an estimate\n  {:<22}({})\n", "time", seconds_text(*v.seconds_estimate), v.target, "", v.time_basis);
  text += fmt::format("  {:<22}{}\n", "arena",
                      v.arena_used_bytes > 0 ? fmt::format("{} of {} planned bytes touched", format_count(v.arena_used_bytes), format_count(v.arena_bytes))
                                             : fmt::format("{} bytes planned", format_count(v.arena_bytes)));
  if (v.stack_bytes > 0) text += fmt::format("  {:<22}{} bytes\n", "stack", format_count(v.stack_bytes));
  if (p.chip_accuracy) text += confusion_text(*p.chip_accuracy);
  return text;
}

}  // namespace micromind
