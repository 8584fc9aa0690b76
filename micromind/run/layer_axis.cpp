#include "micromind/run/layer_axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "micromind/run/charts.h"

namespace micromind {
namespace {

constexpr std::size_t kLongestLabel = 36;  // characters; of longer names the end is shown

std::string short_label(const std::string& name) { return name.size() <= kLongestLabel ? name : "…" + name.substr(name.size() - kLongestLabel); }

}  // namespace

// Names hang at 40°: bold 11.5 px letters are some 7 px wide.
AxisMargins label_margins(const std::vector<std::string>& layers, double right) {
  constexpr double kAcross = 7 * 0.77, kDown = 7 * 0.65, kAxis = 70;
  AxisMargins margins{kAxis, 40};
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto letters = static_cast<double>(std::min(layers[i].size(), kLongestLabel + 1));
    const double along = (right - kAxis) * (static_cast<double>(i) + 0.5) / static_cast<double>(layers.size());
    margins.left = std::max(margins.left, letters * kAcross - along);
    margins.bottom = std::max(margins.bottom, 20 + letters * kDown);
  }
  return margins;
}

std::string layer_names(const std::vector<std::string>& layers, double left, double step, double y, int strong) {
  const double room = 21;  // lines of 11.5 px text at 40° need 13.5 px between them: 13.5 / sin 40°
  const auto stride = static_cast<std::size_t>(std::max(1.0, std::ceil(room / step)));
  std::string svg;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool is_strong = static_cast<int>(i) == strong;
    const bool near_strong = strong >= 0 && std::abs(static_cast<double>(i) - strong) * step < room;
    if (!is_strong && (i % stride != 0 || near_strong)) continue;
    const double x = left + step * (static_cast<double>(i) + 0.5);
    svg += fmt::format("<text class=\"axis{}\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"end\" transform=\"rotate(-40 {:.1f} {})\">{}</text>",
                       is_strong ? " strong" : "", x, y, x, y, escape_html(short_label(layers[i])));
  }
  return svg;
}

}  // namespace micromind
