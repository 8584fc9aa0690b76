#include "micromind/run/bar_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "micromind/base/resource.h"
#include "micromind/run/charts.h"

namespace micromind {
namespace {

constexpr double kWidth = 1080, kLeft = 56, kRight = 12, kTop = 62, kPlot = 320, kBottom = 108;
constexpr std::size_t kColours = 6;

double highest(const BarChart& chart) {
  double top = std::max(chart.baseline, 1e-9);
  for (const BarSeries& s : chart.series) {
    for (const double v : s.values)
      if (std::isfinite(v)) top = std::max(top, v);
    for (const double v : s.high)
      if (std::isfinite(v)) top = std::max(top, v);
  }
  return top * 1.04;
}

double step_of(double top) {
  const double raw = top / 6, power = std::pow(10.0, std::floor(std::log10(raw)));
  return raw / power <= 1 ? power : raw / power <= 2 ? 2 * power : raw / power <= 5 ? 5 * power : 10 * power;
}

std::string keys(const BarChart& chart) {
  std::string svg;
  double x = kLeft;
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    svg += fmt::format(
        "<rect class=\"bar-{}\" x=\"{:.1f}\" y=\"34\" width=\"12\" height=\"12\" rx=\"3\"/><text "
        "class=\"bar-key\" x=\"{:.1f}\" y=\"44.5\">{}</text>",
        i % kColours, x, x + 17, escape_html(chart.series[i].label));
    x += 17 + 7.4 * static_cast<double>(chart.series[i].label.size()) + 20;
  }
  return svg;
}

std::string body(const BarChart& chart) {
  const double top = highest(chart);
  const auto py = [&](double v) { return kTop + kPlot * (1 - v / top); };
  const auto categories = static_cast<double>(std::max<std::size_t>(1, chart.categories.size()));
  const double group = (kWidth - kLeft - kRight) / categories;
  const double width = group * 0.8 / static_cast<double>(std::max<std::size_t>(1, chart.series.size()));
  std::string svg =
      fmt::format("<text class=\"bar-title\" x=\"{}\" y=\"20\">{}</text>", kLeft, escape_html(chart.title)) +
      keys(chart);
  const double step = step_of(top);
  for (int i = 0; i * step <= top; ++i)
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"axis\" x=\"{}\" "
        "y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>",
        kLeft, kWidth - kRight, py(i * step), py(i * step), kLeft - 8, py(i * step) + 4, i * step);
  svg += fmt::format(
      "<text class=\"axis\" text-anchor=\"middle\" transform=\"translate(14 {:.1f}) rotate(-90)\">{}</text>",
      kTop + kPlot / 2, escape_html(chart.y_label));
  for (std::size_t c = 0; c < chart.categories.size(); ++c) {
    const double left = kLeft + group * (static_cast<double>(c) + 0.1);
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
      const BarSeries& series = chart.series[s];
      if (c >= series.values.size() || !std::isfinite(series.values[c])) continue;
      const double x = left + width * static_cast<double>(s), y = py(series.values[c]);
      svg += fmt::format(
          "<rect class=\"bar-{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
          "rx=\"1.5\"><title>{}, {}: {:.2f}</title></rect>",
          s % kColours, x + 0.5, y, std::max(1.0, width - 1), std::max(0.0, kTop + kPlot - y),
          escape_html(chart.categories[c]), escape_html(series.label), series.values[c]);
      if (c < series.low.size() && c < series.high.size() && series.high[c] > series.low[c])
        svg += fmt::format(
            "<line class=\"whisker\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>",
            x + width / 2, py(series.low[c]), py(series.high[c]));
    }
    const double middle = kLeft + group * (static_cast<double>(c) + 0.55), y = kTop + kPlot + 16;
    svg += fmt::format(
        "<text class=\"name\" x=\"{0:.1f}\" y=\"{1}\" text-anchor=\"end\" transform=\"rotate(-35 {0:.1f} "
        "{1})\">{2}</text>",
        middle, y, escape_html(chart.categories[c]));
  }
  if (chart.baseline > 0)
    svg += fmt::format(
        "<line class=\"baseline\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"mark\" "
        "x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
        kLeft, kWidth - kRight, py(chart.baseline), py(chart.baseline), kWidth - kRight,
        py(chart.baseline) - 6, escape_html(chart.baseline_label));
  return svg;
}

std::string tag(const BarChart& chart, std::string_view attributes) {
  return fmt::format("<svg {} viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", attributes, kWidth,
                     kTop + kPlot + kBottom, escape_html(chart.title));
}

}  // namespace

std::string bar_chart(const BarChart& chart) {
  return "<figure>" + tag(chart, "class=\"bars\"") + body(chart) + "</svg></figure>";
}

std::string standalone_bar_chart(const BarChart& chart) {
  std::string colours(resource("micromind/run/page/report.css"));
  colours.resize(std::min(colours.size(), colours.find("* {")));
  for (auto at = colours.find(":root"); at != std::string::npos; at = colours.find(":root"))
    colours.replace(at, 5, "svg.alone");
  return tag(chart,
             "xmlns=\"http://www.w3.org/2000/svg\" class=\"alone\" font-family=\"system-ui, Segoe UI, "
             "Roboto, DejaVu Sans, sans-serif\"") +
         fmt::format("<style>{}{}</style><rect width=\"100%\" height=\"100%\" fill=\"var(--card)\"/>",
                     colours, resource("micromind/run/page/bars.css")) +
         body(chart) + "</svg>\n";
}

}  // namespace micromind
