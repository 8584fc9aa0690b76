#include "micromind/run/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "micromind/base/text.h"
#include "micromind/run/charts.h"
#include "micromind/run/layer_axis.h"

namespace micromind {
namespace {

constexpr double kWidth = 1060, kRight = 12, kPanel = 120, kGap = 44, kTop = 22;
constexpr std::size_t kLargestParts = 12;

// Bytes of the arena that the tensors of a step take, each address once; `halved` counts half.
std::int64_t live_bytes(const ReportMemory& memory, int step, int halved = -1) {
  std::vector<std::pair<std::int64_t, std::int64_t>> spans;
  for (std::size_t i = 0; i < memory.tensors.size(); ++i) {
    const ReportTensor& t = memory.tensors[i];
    if (t.first > step || t.last < step || t.bytes == 0) continue;
    spans.emplace_back(t.offset, t.offset + (static_cast<int>(i) == halved ? t.bytes / 2 : t.bytes));
  }
  std::sort(spans.begin(), spans.end());
  std::int64_t total = 0, end = 0;
  for (const auto& [from, to] : spans) {
    total += std::max<std::int64_t>(0, to - std::max(from, end));
    end = std::max(end, to);
  }
  return total;
}

struct Bars {
  std::string label, css;
  std::vector<double> values;  // one a layer; NaN: none
};
struct Panel {
  std::string title;
  std::vector<Bars> bars;
  double mean = 0;  // a line across; 0: none
  std::string mean_label;
  bool bytes = false, whole = false;
};

double step_of(double top) {
  const double raw = top / 3, power = std::pow(10.0, std::floor(std::log10(raw)));
  return raw / power <= 1 ? power : raw / power <= 2 ? 2 * power : raw / power <= 5 ? 5 * power : 10 * power;
}

std::string number(double value, const Panel& panel) {
  if (panel.bytes) return value < 1024 ? fmt::format("{:g}", value) : fmt::format("{:g}k", value / 1024);
  if (value >= 1e6) return fmt::format("{:g}M", value / 1e6);
  return value >= 1e3 ? fmt::format("{:g}k", value / 1e3) : fmt::format("{:g}", value);
}

std::string exact(double value, const Panel& panel) {
  if (panel.bytes) return format_bytes(std::llround(value));
  return panel.whole ? format_count(std::llround(value)) : fmt::format("{:.2f}", value);
}

std::string keys(const Panel& panel, double left, double y) {
  std::string svg = fmt::format("<text class=\"panel-title\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", left, y, escape_html(panel.title));
  double x = left + 7.2 * static_cast<double>(panel.title.size()) + 24;
  if (panel.bars.size() > 1)
    for (const Bars& b : panel.bars) {
      svg += fmt::format("<rect class=\"fill {}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"11\" height=\"11\" rx=\"3\"/><text class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", b.css, x, y - 10,
                         x + 16, y, escape_html(b.label));
      x += 16 + 6.8 * static_cast<double>(b.label.size()) + 18;
    }
  return svg;
}

std::string draw(const Panel& panel, const std::vector<std::string>& layers, double left, double step, double y) {
  double top = std::max(panel.mean, 1e-9);
  for (const Bars& b : panel.bars)
    for (const double v : b.values)
      if (std::isfinite(v)) top = std::max(top, v);
  const double tick = panel.bytes ? step_of(top / 1024) * 1024 : step_of(top);
  top = std::ceil(top / tick - 1e-9) * tick;
  const auto py = [&](double v) { return y + kPanel * (1 - v / top); };
  std::string svg = keys(panel, left, y - 10);
  for (int i = 0; i * tick <= top * 1.001; ++i)
    svg += fmt::format("<line class=\"grid\" x1=\"{:.1f}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", left,
                       kWidth - kRight, py(i * tick), py(i * tick), left - 8, py(i * tick) + 4, number(i * tick, panel));
  const double width = step * 0.78 / static_cast<double>(panel.bars.size());
  for (std::size_t s = 0; s < panel.bars.size(); ++s)
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const double v = panel.bars[s].values[i];
      if (!std::isfinite(v)) continue;
      svg += fmt::format("<rect class=\"fill {}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" rx=\"1\"><title>{}: {} {}</title></rect>", panel.bars[s].css,
                         left + step * (static_cast<double>(i) + 0.11) + width * static_cast<double>(s), py(v), std::max(0.8, width - 0.6), std::max(0.0, y + kPanel - py(v)),
                         escape_html(layers[i]), exact(v, panel), escape_html(panel.bars[s].label));
    }
  if (panel.mean > 0)
    svg += fmt::format("<line class=\"bound\" x1=\"{:.1f}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"mark\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", left, kWidth - kRight,
                       py(panel.mean), py(panel.mean), kWidth - kRight, y - 10, escape_html(panel.mean_label));
  return svg;
}

template <class Value>
std::vector<double> of_layers(const Deployment& d, Value&& value) {
  std::vector<double> values;
  for (const LayerMeasurement& l : d.layers) values.push_back(value(l));
  return values;
}

std::vector<double> constants_by_layer(const Deployment& d) {
  std::vector<double> values(d.layers.size(), 0);
  for (const FlashPart& part : d.flash_parts)
    for (std::size_t i = 0; part.kind == "constants" && i < d.layers.size(); ++i)
      if (d.layers[i].name == part.name) values[i] += static_cast<double>(part.bytes);
  return values;
}

std::vector<Panel> panels_of(const Deployment& d) {
  const auto per_mac = [](double cost, std::int64_t macs) { return macs > 0 ? cost / static_cast<double>(macs) : std::nan(""); };
  const auto macs = static_cast<double>(d.macs);
  std::vector<Panel> panels;
  if (d.instructions > 0) {
    panels.push_back({"Instructions", {{"instructions", "s-a", of_layers(d, [](const auto& l) { return static_cast<double>(l.instructions); })},
                                       {"multiply-accumulates", "s-c", of_layers(d, [](const auto& l) { return static_cast<double>(l.macs); })}}, 0, "", false, true});
    Panel ratio{"A multiply-accumulate", {{"instructions a MAC", "s-a", of_layers(d, [&](const auto& l) { return per_mac(static_cast<double>(l.instructions), l.macs); })}}, 0, "", false, false};
    if (d.cycles_by_class > 0) ratio.bars.push_back({"cycles a MAC, estimated", "s-b", of_layers(d, [&](const auto& l) { return l.cycles ? per_mac(*l.cycles, l.macs) : std::nan(""); })});
    if (d.macs > 0) {
      ratio.mean = static_cast<double>(d.instructions) / macs;
      ratio.mean_label = fmt::format("whole network: {:.2f} instructions a MAC", ratio.mean);
      panels.push_back(std::move(ratio));
    }
  }
  if (const std::vector<double> constants = constants_by_layer(d); std::accumulate(constants.begin(), constants.end(), 0.0) > 0)
    panels.push_back({"Constants in flash", {{"of constants", "s-d", constants}}, 0, "", true, true});
  return panels;
}

std::string names_of(const ReportMemory& memory, const std::vector<int>& steps) {
  std::string text;
  for (std::size_t i = 0; i < steps.size() && i < 4; ++i)
    text += fmt::format("{}<code>{}</code>", i == 0 ? "" : ", ", escape_html(memory.steps[static_cast<std::size_t>(steps[i])]));
  return steps.size() > 4 ? text + fmt::format(" and {} more", steps.size() - 4) : text;
}

}  // namespace

PeakAdvice peak_advice(const ReportMemory& memory) {
  PeakAdvice a;
  const int steps = static_cast<int>(memory.steps.size());
  std::vector<std::int64_t> live;
  for (int s = 0; s < steps; ++s) live.push_back(live_bytes(memory, s));
  if (live.empty()) return a;
  a.step = static_cast<int>(std::max_element(live.begin(), live.end()) - live.begin());
  a.bytes = live[static_cast<std::size_t>(a.step)];
  for (int s = 0; s < steps; ++s) {
    const std::int64_t bytes = live[static_cast<std::size_t>(s)];
    if (bytes == a.bytes) a.steps.push_back(s);
    else if (bytes > a.without) a.without = bytes, a.next_step = s;
  }
  for (std::size_t i = 0; i < memory.tensors.size(); ++i)
    if (memory.tensors[i].first <= a.step && memory.tensors[i].last >= a.step && memory.tensors[i].bytes > 0) a.tensors.push_back(static_cast<int>(i));
  const auto bytes = [&](int i) { return memory.tensors[static_cast<std::size_t>(i)].bytes; };
  std::stable_sort(a.tensors.begin(), a.tensors.end(), [&](int x, int y) { return bytes(x) > bytes(y); });
  if (!a.tensors.empty())
    for (int s = 0; s < steps; ++s) a.with_half_largest = std::max(a.with_half_largest, live_bytes(memory, s, a.tensors[0]));
  return a;
}

std::string peak_text(const ReportMemory& memory) {
  const PeakAdvice a = peak_advice(memory);
  if (a.tensors.empty()) return "";
  std::string text = fmt::format("<p class=\"advice\"><b>The peak is at {}</b>: {} live", names_of(memory, a.steps), format_bytes(a.bytes));
  for (std::size_t i = 0; i < a.tensors.size() && i < 4; ++i) {
    const ReportTensor& t = memory.tensors[static_cast<std::size_t>(a.tensors[i])];
    text += fmt::format("{}<code>{}</code> {}", i == 0 ? ", of these " : ", ", escape_html(t.name), format_bytes(t.bytes));
  }
  text += ". ";
  const auto share = [&](std::int64_t bytes) { return 100.0 * static_cast<double>(a.bytes - bytes) / static_cast<double>(std::max<std::int64_t>(1, a.bytes)); };
  if (a.next_step >= 0)
    text += fmt::format("Without {}, at most {} would be live ({:.0f} % less), at <code>{}</code>. ", a.steps.size() == 1 ? "this layer" : fmt::format("these {} layers", a.steps.size()),
                        format_bytes(a.without), share(a.without), escape_html(memory.steps[static_cast<std::size_t>(a.next_step)]));
  const ReportTensor& largest = memory.tensors[static_cast<std::size_t>(a.tensors[0])];
  if (a.with_half_largest < a.bytes)
    text += fmt::format("Were <code>{}</code> half as large, at most {} would be live ({:.0f} % less). ", escape_html(largest.name), format_bytes(a.with_half_largest), share(a.with_half_largest));
  else
    text += fmt::format("Halving <code>{}</code> alone would gain nothing: other layers need as much. ", escape_html(largest.name));
  if (const std::int64_t more = memory.arena_bytes - a.bytes; more > 0)
    text += memory.arena_bytes <= memory.lower_bound_bytes
                ? fmt::format("The arena is {} larger: tensors that overlap lie a little further with every layer, and no placement in this order does with less.", format_bytes(more))
                : fmt::format("{} of the arena are gaps that no placement was found to close.", format_bytes(more));
  return text + "</p>";
}

std::string layer_chart(const Deployment& d) {
  const std::vector<Panel> panels = panels_of(d);
  if (panels.empty() || d.layers.empty()) return "";
  std::vector<std::string> layers;
  for (const LayerMeasurement& l : d.layers) layers.push_back(l.name);
  const AxisMargins margins = label_margins(layers, kWidth - kRight);
  const double step = (kWidth - margins.left - kRight) / static_cast<double>(layers.size());
  const double bottom = kTop + static_cast<double>(panels.size()) * (kPanel + kGap) - kGap + 6;
  std::string svg = fmt::format("<div class=\"scroll\"><svg class=\"memory\" viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"cost by layer\">", kWidth, bottom + margins.bottom);
  for (std::size_t i = 0; i < panels.size(); ++i) svg += draw(panels[i], layers, margins.left, step, kTop + static_cast<double>(i) * (kPanel + kGap));
  return svg + layer_names(layers, margins.left, step, bottom + 6, -1) + "</svg></div>";
}

std::string flash_picture(const Deployment& d, std::int64_t available) {
  std::int64_t constants = 0, kernels = 0, rest = 0;
  for (const FlashPart& p : d.flash_parts) (p.kind == "constants" ? constants : p.kind == "kernel" ? kernels : rest) += p.bytes;
  if (constants + kernels + rest == 0) return "";
  std::string html = budget_bar("Flash by section", {{"constants", "p-a", constants}, {"kernels' code", "p-b", kernels}, {"calls, start-up, library", "p-c", rest}}, 0);
  if (available > 0) html += fmt::format("<p class=\"soft\">{:.1f} % of the {} there are.</p>", 100.0 * static_cast<double>(d.flash_bytes) / static_cast<double>(available), format_bytes(available));
  std::vector<FlashPart> parts = d.flash_parts;
  std::stable_sort(parts.begin(), parts.end(), [](const FlashPart& a, const FlashPart& b) { return a.bytes > b.bytes; });
  const auto most = static_cast<double>(std::max<std::int64_t>(1, parts.front().bytes));
  html += "<div class=\"scroll\"><table><thead><tr><th>the largest parts</th><th>kind</th><th class=\"n\">bytes</th><th></th></tr></thead><tbody>";
  for (std::size_t i = 0; i < parts.size() && i < kLargestParts; ++i)
    html += fmt::format("<tr><td class=\"mono\">{}</td><td>{}</td><td class=\"n\">{}</td><td><span class=\"share\"><i style=\"width:{:.1f}%\"></i></span></td></tr>", escape_html(parts[i].name),
                        parts[i].kind == "kernel" ? "kernel's code" : parts[i].kind, format_count(parts[i].bytes), 100.0 * static_cast<double>(parts[i].bytes) / most);
  return html + "</tbody></table></div>";
}

}  // namespace micromind
