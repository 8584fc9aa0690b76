// How full three budgets get when the knobs are free, and when they are coupled. 20 random budgets as boards
// have them:
//   RAM    log-uniform from 16 kB to 1 MB
//   flash  2 to 8 times the RAM, log-uniform (the boards in targets/ have 1 to 10 times as much, 4 in the
//   middle) MACs   40 to 160 for each byte of RAM, log-uniform: 1.3 M at 16 kB and 84 M at 1 MB in the middle
// Every method is solved to proven optimality over the knobs that it has, with the same objective.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/scaling/design.h"
#include "scaling_bench.h"

namespace micromind {
namespace {

using nlohmann::json;

struct Method {
  const char* name;
  const char* knobs;
  const char* family;
  json space;
  const char* colour;
};

const Shape kInput{3, 160, 160};
const json kResolutions = {32, 48, 64, 80, 96, 112, 128, 144, 160};

std::vector<Method> methods() {
  return {
      {"PhiNet, all knobs",
       "α, β, t₀, depth, downsampling, resolution",
       "phinet",
       {{"resolution", kResolutions}},
       "#2b6cb0"},
      {"XiNet, all knobs", "α, β, γ, depth, resolution", "xinet", {{"resolution", kResolutions}}, "#2f855a"},
      {"PhiNet, α alone",
       "α; β = 1, t₀ = 6, 7 layers, 160 pixels",
       "phinet",
       {{"beta", 1}, {"t_zero", 6}, {"num_layers", 7}, {"downsampling_layers", {5, 7}}},
       "#718096"},
      {"MobileNetV2, width and resolution",
       "α, resolution",
       "mobilenet-v2",
       {{"resolution", kResolutions}},
       "#718096"},
      {"MobileNetV2, width alone", "α; 160 pixels", "mobilenet-v2", json::object(), "#718096"},
      {"EfficientNet, compound", "φ: depth 1.2^φ, width 1.1^φ, resolution 160·1.15^φ", "efficientnet",
       json::object(), "#dd6b20"},
  };
}

using Shares = std::array<double, 3>;
constexpr const char* kNames[] = {"RAM", "flash", "MACs"};

struct Row {
  std::vector<std::optional<Shares>> shares;  // one a budget; none: infeasible
  std::vector<double> of(std::size_t resource) const {
    std::vector<double> list;
    for (const auto& s : shares)
      if (s) list.push_back((*s)[resource]);
    std::sort(list.begin(), list.end());
    return list;
  }
  double mean(std::size_t resource) const {
    const std::vector<double> list = of(resource);
    double sum = 0;
    for (const double v : list) sum += v;
    return list.empty() ? 0 : sum / static_cast<double>(list.size());
  }
};

std::vector<Budget> draw_budgets(int count) {
  Random random(20);
  std::vector<Budget> budgets;
  for (int i = 0; i < count; ++i) {
    const double ram = log_uniform(random, 16 << 10, 1 << 20);
    const double flash = ram * log_uniform(random, 2, 8), macs = ram * log_uniform(random, 40, 160);
    budgets.push_back(
        {.ram_bytes = std::floor(ram), .flash_bytes = std::floor(flash), .macs = std::floor(macs)});
  }
  return budgets;
}

Row solve(const Method& method, const std::vector<Budget>& budgets) {
  Row row;
  for (const Budget& budget : budgets) {
    DesignRequest request{.family = method.family,
                          .input = kInput,
                          .classes = 10,
                          .budget = budget,
                          .space = method.space,
                          .sensitivity = false};
    try {
      const Design d = design(request);
      if (d.gap != 0) fail("bench", "{}: not proven", method.name);
      row.shares.push_back(Shares{d.resources[0].share(), d.resources[1].share(), d.resources[2].share()});
    } catch (const Error& e) {
      if (std::string(e.what()).find("fits") == std::string::npos) throw;
      row.shares.push_back(std::nullopt);
    }
  }
  return row;
}

std::string percent(double share) {
  return fmt::format("{:.0f} %", 100 * share);
}

// One line a method, one panel a resource: a dot a budget, a bar at the mean.
std::string plot(const std::vector<Method>& list, const std::vector<Row>& rows) {
  constexpr double kLeft = 270, kPanel = 220, kGap = 44, kTop = 46, kLine = 44, kBottom = 46;
  const double width = kLeft + 3 * kPanel + 2 * kGap + 90,
               height = kTop + kLine * static_cast<double>(list.size()) + kBottom;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"system-ui, DejaVu Sans, sans-serif\" font-size=\"13\">"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
      width, height);
  for (int r = 0; r < 3; ++r) {
    const double left = kLeft + r * (kPanel + kGap);
    svg += fmt::format(
        "<text x=\"{}\" y=\"26\" text-anchor=\"middle\" font-weight=\"600\" fill=\"#1b2230\">{}</text>\n",
        left + kPanel / 2, kNames[r]);
    for (const int tick : {0, 50, 100}) {
      const double x = left + kPanel * tick / 100;
      svg += fmt::format(
          "<line x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#e2e6ec\"/><text x=\"{0}\" y=\"{3}\" "
          "text-anchor=\"middle\" fill=\"#5c6779\" font-size=\"11.5\">{4} %</text>\n",
          x, kTop, height - kBottom, height - kBottom + 17, tick);
    }
  }
  svg += fmt::format(
      "<text x=\"{}\" y=\"26\" text-anchor=\"middle\" fill=\"#5c6779\" font-size=\"11.5\">feasible</text>\n",
      width - 45);
  svg += fmt::format(
      "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#5c6779\" font-size=\"11.5\">share of the "
      "budget used; a dot a budget, the bar is the mean over the feasible ones</text>\n",
      kLeft + 1.5 * kPanel + kGap, height - 10);
  for (std::size_t m = 0; m < list.size(); ++m) {
    const double y = kTop + kLine * (static_cast<double>(m) + 0.5);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#1b2230\">{}</text>\n", kLeft - 14,
                       y + 4, list[m].name);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#1b2230\">{} of {}</text>\n",
                       width - 45, y + 4, rows[m].of(0).size(), rows[m].shares.size());
    for (std::size_t r = 0; r < 3; ++r) {
      const double left = kLeft + static_cast<double>(r) * (kPanel + kGap);
      svg += fmt::format(
          "<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"16\" rx=\"2\" fill=\"{}\" opacity=\"0.28\"/>\n",
          left, y - 8, kPanel * rows[m].mean(r), list[m].colour);
      std::size_t i = 0;
      for (const double share : rows[m].of(r))
        svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\" opacity=\"0.75\"/>",
                           left + kPanel * share, y + (static_cast<double>(i++ % 3) - 1) * 4, list[m].colour);
      svg += "\n";
    }
  }
  return svg + "</svg>\n";
}

}  // namespace

json print_fill(const std::string& svg_file) {
  const std::vector<Budget> budgets = draw_budgets(20);
  const std::vector<Method> list = methods();
  std::vector<Row> rows;
  for (const Method& m : list) rows.push_back(solve(m, budgets));
  json all = {{"input", {kInput[0], kInput[1], kInput[2]}},
              {"classes", 10},
              {"budgets", json::array()},
              {"methods", json::array()}};
  for (const Budget& b : budgets)
    all["budgets"].push_back({{"ram", *b.ram_bytes}, {"flash", *b.flash_bytes}, {"macs", *b.macs}});
  fmt::print(
      "| method | free knobs | feasible | RAM: mean, least | flash: mean, least | MACs: mean, least "
      "|\n|---|---|---|---|---|---|\n");
  for (std::size_t m = 0; m < list.size(); ++m) {
    const auto cell = [&](std::size_t r) {
      const std::vector<double> shares = rows[m].of(r);
      return shares.empty() ? std::string("–") : percent(rows[m].mean(r)) + ", " + percent(shares.front());
    };
    fmt::print("| {} | {} | {} of {} | {} | {} | {} |\n", list[m].name, list[m].knobs, rows[m].of(0).size(),
               budgets.size(), cell(0), cell(1), cell(2));
    json shares = json::array();
    for (const auto& s : rows[m].shares) shares.push_back(s ? json(*s) : json());
    all["methods"].push_back(
        {{"name", list[m].name}, {"family", list[m].family}, {"space", list[m].space}, {"shares", shares}});
  }
  if (!svg_file.empty()) write_atomic(svg_file, plot(list, rows));
  return all;
}

}  // namespace micromind
