// Tables, CSV, JSON and pictures of operator efficiency.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/bench/efficiency.h"
#include "micromind/run/bar_chart.h"
#include "micromind/run/charts.h"

namespace micromind {
namespace {

std::string eta_text(double eta) {
  return std::isfinite(eta) ? fmt::format("{:.2f}", eta) : "–";
}

std::string_view kind_name(PlatformKind kind) {
  switch (kind) {
    case PlatformKind::emulated:
      return "emulated core, model";
    case PlatformKind::host:
      return "this computer";
    case PlatformKind::measured:
      return "measured";
  }
  return "";
}

using Rows = std::vector<std::vector<std::string>>;

Rows summary_rows(const std::vector<PlatformEfficiency>& platforms) {
  Rows rows = {{"operator"}};
  for (const PlatformEfficiency& p : platforms) rows[0].push_back(p.label);
  for (const OperatorInfo& op : efficiency_operators()) {
    rows.push_back({op.label});
    for (const PlatformEfficiency& p : platforms) rows.back().push_back(eta_text(eta_range(p, op.name).mean));
  }
  return rows;
}

Rows figure_rows(const PlatformEfficiency& p) {
  Rows rows = {{"operator", "size", "channels", "MACs", "eta"}};
  const auto add = [&](std::initializer_list<const char*> names) {
    rows[0].insert(rows[0].end(), names.begin(), names.end());
  };
  const bool emulated = p.kind == PlatformKind::emulated, timed = p.kind == PlatformKind::host;
  if (emulated) add({"instructions/MAC", "loads/MAC", "stores/MAC", "cycles/MAC (model)", "µJ (model)"});
  if (timed) add({"µs", "best µs", "MAC/ns", "µJ"});
  if (p.kind == PlatformKind::measured) add({"µJ"});
  for (const OperatorFigure& f : p.figures) {
    const auto macs = static_cast<double>(f.macs);
    rows.push_back(
        {f.operator_name, f.size.text(), std::to_string(f.channels), format_count(f.macs), eta_text(f.eta)});
    const auto cell = [&](const std::string& text) { rows.back().push_back(text); };
    if (emulated) {
      cell(fmt::format("{:.3f}", static_cast<double>(f.counts.total()) / macs));
      cell(fmt::format("{:.3f}", static_cast<double>(f.counts.loads()) / macs));
      cell(fmt::format("{:.3f}", static_cast<double>(f.counts.stores()) / macs));
      cell(fmt::format("{:.3f}", f.cycles_model / macs));
      cell(f.energy_uj_model ? fmt::format("{:.2f}", *f.energy_uj_model) : "–");
    } else {
      if (timed) {
        cell(fmt::format("{:.1f}", f.seconds * 1e6));
        cell(fmt::format("{:.1f}", f.seconds_best * 1e6));
        cell(fmt::format("{:.2f}", macs / f.seconds * 1e-9));
      }
      cell(f.energy_uj ? fmt::format("{:.2f}", *f.energy_uj) : "–");
    }
  }
  return rows;
}

std::string html_table(const Rows& rows) {
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (std::size_t c = 0; c < rows[0].size(); ++c)
    html += fmt::format("<th{}>{}</th>", c == 0 ? "" : " class=\"n\"", escape_html(rows[0][c]));
  html += "</tr></thead><tbody>";
  for (std::size_t r = 1; r < rows.size(); ++r) {
    html += "<tr>";
    for (std::size_t c = 0; c < rows[r].size(); ++c)
      html += fmt::format("<td{}>{}</td>", c == 0 ? "" : " class=\"n\"", escape_html(rows[r][c]));
    html += "</tr>";
  }
  return html + "</tbody></table></div>";
}

BarChart chart_of(const std::vector<PlatformEfficiency>& platforms) {
  BarChart chart;
  chart.title = "Efficiency of common operators on tested platforms";
  chart.y_label = "η = E(standard) / E(operator), equal MACs";
  chart.baseline = 1;
  chart.baseline_label = "standard convolution = 1";
  for (const OperatorInfo& op : efficiency_operators()) chart.categories.push_back(op.label);
  for (const PlatformEfficiency& p : platforms) {
    BarSeries series{p.label, {}, {}, {}};
    for (const OperatorInfo& op : efficiency_operators()) {
      const EtaRange range = eta_range(p, op.name);
      series.values.push_back(range.mean);
      series.low.push_back(range.low);
      series.high.push_back(range.high);
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

nlohmann::json figure_to_json(const PlatformEfficiency& p, const OperatorFigure& f) {
  nlohmann::json json = {{"operator", f.operator_name},
                         {"size", f.size.text()},
                         {"channels", f.channels},
                         {"macs", f.macs},
                         {"eta", f.eta}};
  if (p.kind == PlatformKind::emulated) {
    nlohmann::json classes = nlohmann::json::object();
    for (std::size_t c = 0; c < kInstructionClasses; ++c)
      if (f.counts.of[c] != 0)
        classes[std::string(instruction_class_name(static_cast<InstructionClass>(c)))] = f.counts.of[c];
    json.update({{"instructions", f.counts.total()},
                 {"loads", f.counts.loads()},
                 {"stores", f.counts.stores()},
                 {"words_of_multiple", f.counts.words},
                 {"branches_taken", f.counts.taken},
                 {"instructions_by_class", classes},
                 {"cycles_model", f.cycles_model}});
    json["energy_uj_model"] = nullptr;
    if (f.energy_uj_model) json["energy_uj_model"] = *f.energy_uj_model;
    return json;
  }
  if (p.kind == PlatformKind::host) json.update({{"seconds", f.seconds}, {"seconds_best", f.seconds_best}});
  json["energy_uj"] = nullptr;
  if (f.energy_uj) json["energy_uj"] = *f.energy_uj;
  return json;
}

}  // namespace

std::string efficiency_table(const std::vector<PlatformEfficiency>& platforms) {
  return format_table(summary_rows(platforms));
}

std::string figure_table(const PlatformEfficiency& platform) {
  return format_table(figure_rows(platform));
}

std::string efficiency_csv(const std::vector<PlatformEfficiency>& platforms) {
  std::string csv =
      "platform,kind,operator,size,channels,macs,eta,instructions,loads,stores,cycles_model,energy_uj_model,"
      "seconds,energy_uj\n";
  const auto optional = [](const std::optional<double>& v) {
    return v ? fmt::format("{}", *v) : std::string();
  };
  for (const PlatformEfficiency& p : platforms)
    for (const OperatorFigure& f : p.figures) {
      const bool emulated = p.kind == PlatformKind::emulated;
      csv += fmt::format(
          "\"{}\",\"{}\",{},{},{},{},{},{},{},{},{},{},{},{}\n", p.name, kind_name(p.kind), f.operator_name,
          f.size.text(), f.channels, f.macs, f.eta, emulated ? std::to_string(f.counts.total()) : "",
          emulated ? std::to_string(f.counts.loads()) : "", emulated ? std::to_string(f.counts.stores()) : "",
          emulated ? fmt::format("{}", f.cycles_model) : "", optional(f.energy_uj_model),
          p.kind == PlatformKind::host ? fmt::format("{}", f.seconds) : "", optional(f.energy_uj));
    }
  return csv;
}

nlohmann::json efficiency_to_json(const std::vector<PlatformEfficiency>& platforms) {
  nlohmann::json list = nlohmann::json::array();
  for (const PlatformEfficiency& p : platforms) {
    nlohmann::json figures = nlohmann::json::array(), means = nlohmann::json::object();
    for (const OperatorFigure& f : p.figures) figures.push_back(figure_to_json(p, f));
    for (const OperatorInfo& op : efficiency_operators())
      if (const EtaRange r = eta_range(p, op.name); std::isfinite(r.mean))
        means[op.name] = {{"mean", r.mean}, {"low", r.low}, {"high", r.high}};
    list.push_back({{"name", p.name},
                    {"label", p.label},
                    {"kind", kind_name(p.kind)},
                    {"energy_is", p.energy_is},
                    {"eta", means},
                    {"figures", figures}});
  }
  return {{"definition",
           "eta = (E_S / MAC_S) / (E_op / MAC_op); S is the standard 3x3 convolution of the same size"},
          {"platforms", list}};
}

std::string efficiency_svg(const std::vector<PlatformEfficiency>& platforms) {
  return standalone_bar_chart(chart_of(platforms));
}

std::string efficiency_page(const std::vector<PlatformEfficiency>& platforms) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">"
      "<title>Operator efficiency</title><style>{}{}</style></head><body><main><header><h1>Operator "
      "efficiency</h1><p class=\"soft\">"
      "η = (E<sub>S</sub> / MAC<sub>S</sub>) / (E<sub>op</sub> / MAC<sub>op</sub>): the energy of a standard "
      "3×3 convolution over the operator's, for the "
      "same number of multiply-accumulates, int8. Above 1 an operator gets more out of a joule. Bars are "
      "geometric means over sizes, whiskers the least "
      "and the most.</p></header><section>{}<p class=\"legend soft\">What stands for energy: ",
      resource("micromind/run/page/report.css"), resource("micromind/run/page/bars.css"),
      bar_chart(chart_of(platforms)));
  for (const PlatformEfficiency& p : platforms)
    html += fmt::format("<br><b>{}</b> {}", escape_html(p.label), escape_html(p.energy_is));
  html += "</p></section><section><h2>Means</h2>" + html_table(summary_rows(platforms)) + "</section>";
  for (const PlatformEfficiency& p : platforms)
    html += fmt::format("<section><h2>{}</h2><p>{}: {}</p>{}</section>", escape_html(p.label),
                        escape_html(p.name), escape_html(p.energy_is), html_table(figure_rows(p)));
  return html + "</main></body></html>\n";
}

}  // namespace micromind
