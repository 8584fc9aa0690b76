#include "micromind/run/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "micromind/base/text.h"
#include "micromind/run/layer_axis.h"

namespace micromind {
namespace {

// Round steps (1, 2 or 5 times a power of ten) that cut [low, high] into about `count` parts.
std::vector<double> ticks(double low, double high, int count) {
  const double raw = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double step = raw / power <= 1 ? power : raw / power <= 2 ? 2 * power : raw / power <= 5 ? 5 * power : 10 * power;
  std::vector<double> list;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) list.push_back(i * step + 0.0);  // + 0: no "-0"
  return list;
}

struct Extent {
  double low = INFINITY, high = -INFINITY;
  void add(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return low > high; }
};

// Room on every side so that a flat line still has a scale.
Extent padded(Extent e, bool percent) {
  if (e.empty()) return {0, 1};
  const double margin = std::max((e.high - e.low) * 0.06, percent ? 0.01 : 0.02 * std::max(1e-6, std::abs(e.high)));
  Extent out{e.low - margin, e.high + margin};
  if (percent) out = {std::max(0.0, out.low), std::min(1.0, out.high)};
  else if (e.low >= 0) out.low = std::max(0.0, out.low);
  return out;
}

std::string number(double v, bool percent) { return percent ? fmt::format("{:.0f} %", v * 100) : fmt::format("{:.4g}", v); }

std::string exact(double v, bool percent) { return percent ? fmt::format("{:.2f} %", v * 100) : fmt::format("{:.4f}", v); }

std::string_view kind_css(TensorKind kind) {
  switch (kind) {
    case TensorKind::input:
      return "t-input";
    case TensorKind::activation:
      return "t-activation";
    case TensorKind::in_place:
      return "t-in-place";
    case TensorKind::output:
      return "t-output";
  }
  return "";
}

std::string_view kind_text(TensorKind kind) {
  switch (kind) {
    case TensorKind::input:
      return "input";
    case TensorKind::activation:
      return "activation";
    case TensorKind::in_place:
      return "written in place";
    case TensorKind::output:
      return "output";
  }
  return "";
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string line_chart(std::string_view title, const std::vector<Series>& series, bool percent) {
  constexpr double kWidth = 520, kHeight = 260, kLeft = 52, kRight = 14, kTop = 12, kBottom = 34;
  Extent extent;
  std::size_t epochs = 0;
  for (const Series& s : series) {
    epochs = std::max(epochs, s.values.size());
    for (const double v : s.values) extent.add(v);
  }
  const Extent y = padded(extent, percent);
  const auto px = [&](std::size_t i) {
    return epochs < 2 ? (kLeft + kWidth - kRight) / 2
                      : kLeft + (kWidth - kLeft - kRight) * static_cast<double>(i) / static_cast<double>(epochs - 1);
  };
  const auto py = [&](double v) { return kTop + (kHeight - kTop - kBottom) * (1 - (v - y.low) / (y.high - y.low)); };

  std::string svg = fmt::format("<figure><figcaption>{}", escape_html(title));
  for (const Series& s : series) svg += fmt::format(" <span class=\"key {}\"><i></i>{}</span>", s.css, escape_html(s.label));
  svg += fmt::format("</figcaption><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", kWidth, kHeight, escape_html(title));
  for (const double t : ticks(y.low, y.high, 5))
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"axis\" x=\"{}\" y=\"{:.1f}\" "
                       "text-anchor=\"end\">{}</text>",
                       kLeft, kWidth - kRight, py(t), py(t), kLeft - 8, py(t) + 4, number(t, percent));
  const std::size_t stride = std::max<std::size_t>(1, (epochs + 9) / 10);
  for (std::size_t i = 0; i < epochs; ++i)
    if (i == 0 || (i + 1) % stride == 0)
      svg += fmt::format("<text class=\"axis\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", px(i), kHeight - 14, i + 1);
  svg += fmt::format("<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">epoch</text>", kWidth - kRight, kHeight - 1);
  for (const Series& s : series) {
    std::string path, dots;
    std::size_t points = 0;
    for (std::size_t i = 0; i < s.values.size(); ++i) {
      if (!std::isfinite(s.values[i])) continue;
      path += fmt::format("{}{:.1f} {:.1f} ", points++ > 0 ? 'L' : 'M', px(i), py(s.values[i]));
      dots += fmt::format("<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}, epoch {}: {}</title></circle>", s.css,
                          px(i), py(s.values[i]), escape_html(s.label), i + 1, exact(s.values[i], percent));
    }
    svg += fmt::format("<path class=\"line {}\" d=\"{}\"/>", s.css, path) + (points <= 60 ? dots : "");
  }
  return svg + "</svg></figure>";
}

std::string memory_chart(const ReportMemory& memory) {
  constexpr double kWidth = 1060, kRight = 12, kTop = 24, kPlot = 280;
  const auto [kLeft, kBottom] = label_margins(memory.steps, kWidth - kRight);
  const double kHeight = kTop + kPlot + kBottom;
  const auto steps = static_cast<double>(std::max<std::size_t>(1, memory.steps.size()));
  const auto top = static_cast<double>(std::max<std::int64_t>({1, memory.arena_bytes, memory.lower_bound_bytes}));
  const double step = (kWidth - kLeft - kRight) / steps;
  const auto px = [&](double s) { return kLeft + step * s; };
  const auto py = [&](double bytes) { return kTop + (kHeight - kTop - kBottom) * (1 - bytes / top); };

  std::string svg = fmt::format("<div class=\"scroll\"><svg class=\"memory\" viewBox=\"0 0 {} {}\" role=\"img\" "
                                "aria-label=\"arena over time\">", kWidth, kHeight);
  // Grid in binary multiples, as the sizes are written.
  const double unit = top >= 4 * 1024 * 1024 ? 1024 * 1024 : top >= 4096 ? 1024 : 1;
  for (const double t : ticks(0, top / unit, 5))
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"axis\" x=\"{}\" y=\"{:.1f}\" "
                       "text-anchor=\"end\">{:g} {}</text>",
                       kLeft, kWidth - kRight, py(t * unit), py(t * unit), kLeft - 8, py(t * unit) + 4, t,
                       unit == 1 ? "B" : unit == 1024 ? "kB" : "MB");
  for (const ReportTensor& t : memory.tensors) {
    if (t.bytes == 0) continue;
    const double x = px(t.first), y = py(static_cast<double>(t.offset + t.bytes));
    svg += fmt::format("<rect class=\"tensor {}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" rx=\"1.5\"><title>{}: {} "
                       "({}), bytes {} to {}, from {} to {}</title></rect>",
                       kind_css(t.kind), x, y, px(t.last + 1) - x, std::max(0.8, py(static_cast<double>(t.offset)) - y),
                       escape_html(t.name), format_bytes(t.bytes), kind_text(t.kind), t.offset, t.offset + t.bytes,
                       escape_html(memory.steps.empty() ? "" : memory.steps[static_cast<std::size_t>(t.first)]),
                       escape_html(memory.steps.empty() ? "" : memory.steps[static_cast<std::size_t>(t.last)]));
  }
  // Above the tensors, but letting the mouse through to them.
  if (memory.peak_step >= 0)
    svg += fmt::format("<rect class=\"peak\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"/>", px(memory.peak_step), kTop, step,
                       kHeight - kTop - kBottom);
  const bool tight = memory.arena_bytes <= memory.lower_bound_bytes;
  const double arena_y = py(static_cast<double>(memory.arena_bytes)), bound_y = py(static_cast<double>(memory.lower_bound_bytes));
  if (!tight) svg += fmt::format("<line class=\"arena\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kWidth - kRight, arena_y, arena_y);
  svg += fmt::format("<line class=\"bound\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kWidth - kRight, bound_y, bound_y);
  svg += fmt::format("<text class=\"mark\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", kWidth - kRight, kTop - 9,
                     tight ? fmt::format("arena {} = lower bound: no placement does with less", format_bytes(memory.arena_bytes))
                           : fmt::format("arena {}, lower bound {}", format_bytes(memory.arena_bytes), format_bytes(memory.lower_bound_bytes)));
  svg += layer_names(memory.steps, kLeft, step, kHeight - kBottom + 12, memory.peak_step);
  svg += "</svg></div><p class=\"legend\">";
  for (const TensorKind kind : {TensorKind::input, TensorKind::activation, TensorKind::in_place, TensorKind::output})
    svg += fmt::format("<span class=\"key {}\"><i></i>{}</span> ", kind_css(kind), kind_text(kind));
  svg += "<span class=\"key t-peak\"><i></i>most live bytes</span></p>";
  return svg;
}

std::string confusion_table(const ReportAccuracy& a) {
  const std::size_t n = a.int8_confusion.size();
  const bool with_numbers = n <= 20;
  const auto name = [&](std::size_t i) { return escape_html(i < a.class_names.size() ? a.class_names[i] : std::to_string(i)); };
  std::string html = fmt::format("<div class=\"scroll\"><table class=\"confusion{}\"><thead><tr><th class=\"corner\">true \\ predicted</th>",
                                 with_numbers ? "" : " dense");
  if (with_numbers)
    for (std::size_t c = 0; c < n; ++c) html += fmt::format("<th><span>{}</span></th>", name(c));
  if (with_numbers) html += "<th class=\"recall\"><span>found</span></th>";
  html += "</tr></thead><tbody>";
  for (std::size_t r = 0; r < n; ++r) {
    std::int64_t total = 0;
    for (const std::int64_t v : a.int8_confusion[r]) total += v;
    html += fmt::format("<tr><th>{}</th>", name(r));
    for (std::size_t c = 0; c < a.int8_confusion[r].size(); ++c) {
      const std::int64_t v = a.int8_confusion[r][c];
      const double share = total == 0 ? 0 : static_cast<double>(v) / static_cast<double>(total);
      // Small shares of wrong answers are what one looks for: the root makes them visible.
      html += fmt::format("<td class=\"{}{}\" style=\"--s:{:.3f}\" title=\"{} taken for {}: {} of {}\">{}</td>", r == c ? "right" : "wrong",
                          share > 0.55 ? " full" : "", std::sqrt(share), name(r), name(c), v, total,
                          with_numbers && v != 0 ? std::to_string(v) : "");
    }
    if (with_numbers && r < a.int8_confusion[r].size())
      html += fmt::format("<td class=\"recall\">{}</td>",
                          total == 0 ? "–" : fmt::format("{:.1f} %", 100.0 * static_cast<double>(a.int8_confusion[r][r]) / static_cast<double>(total)));
    html += "</tr>";
  }
  return html + "</tbody></table></div>";
}

std::string budget_bar(std::string_view title, const std::vector<BarPart>& parts, std::int64_t available) {
  std::int64_t used = 0;
  for (const BarPart& part : parts) used += part.bytes;
  const bool over = available > 0 && used > available;
  const auto scale = static_cast<double>(std::max<std::int64_t>(1, std::max(used, available)));
  std::string html = fmt::format("<div class=\"budget{}\"><div class=\"budget-head\"><b>{}</b><span>{}", over ? " over" : "", escape_html(title),
                                 format_bytes(used));
  if (available > 0)
    html += fmt::format(" of {} <em>{:.1f} %</em>", format_bytes(available), 100.0 * static_cast<double>(used) / static_cast<double>(available));
  html += "</span></div><div class=\"bar\">";
  for (const BarPart& part : parts)
    if (part.bytes > 0)
      html += fmt::format("<i class=\"{}\" style=\"width:{:.3f}%\" title=\"{}: {}\"></i>", part.css,
                          100.0 * static_cast<double>(part.bytes) / scale, escape_html(part.label), format_bytes(part.bytes));
  html += "</div><p class=\"legend\">";
  for (const BarPart& part : parts)
    html += fmt::format("<span class=\"key {}\"><i></i>{} {}</span> ", part.css, escape_html(part.label), format_bytes(part.bytes));
  return html + "</p></div>";
}

}  // namespace micromind
