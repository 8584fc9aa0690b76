// A front as a picture: RAM to the right, MACs upwards, both as logarithms; a circle's size is the network's flash, its
// colour the accuracy of the proxy trainings or, as long as there are none, flash once more.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/run/charts.h"
#include "micromind/run/front.h"

namespace micromind {
namespace {

constexpr double kWidth = 900, kHeight = 540, kLeft = 74, kRight = 168, kTop = 40, kBottom = 52;
constexpr double kLeast = 5, kMost = 17;  // radius
constexpr int kShades = 7;

std::string short_count(double n) {
  if (n >= 1e9) return fmt::format("{:.4g} G", n / 1e9);
  if (n >= 1e6) return fmt::format("{:.4g} M", n / 1e6);
  return n >= 1e3 ? fmt::format("{:.4g} k", n / 1e3) : fmt::format("{:.4g}", n);
}
std::string short_bytes(double n) {
  if (n >= 1 << 20) return fmt::format("{:.4g} MB", n / (1 << 20));
  return n >= 1024 ? fmt::format("{:.4g} kB", n / 1024) : fmt::format("{:.4g} B", n);
}
std::string percent(double share) { return std::isfinite(share) ? fmt::format("{:.2f} %", 100 * share) : "–"; }

// A logarithmic scale with some room at both ends.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;

  Scale(double least, double most, double at_low, double at_high) : from(at_low), to(at_high) {
    const double a = std::log(std::max(least, 1.0)), b = std::log(std::max(most, 1.0));
    const double margin = std::max(0.08 * (b - a), 0.12);
    low = a - margin;
    high = b + margin;
  }
  double operator()(double v) const { return from + (to - from) * (std::log(std::max(v, 1.0)) - low) / (high - low); }

  /// Powers of two times `unit`, or 1, 2, 5 times powers of ten; at most some nine.
  std::vector<double> ticks(bool binary) const {
    std::vector<double> list;
    if (binary) {
      const double span = (high - low) / std::log(2.0);
      const int step = std::max(1, static_cast<int>(std::ceil(span / 9)));
      for (int e = static_cast<int>(std::ceil(low / std::log(2.0))); e * std::log(2.0) <= high; ++e)
        if (e % step == 0) list.push_back(std::exp2(e));
      return list;
    }
    const bool decades = (high - low) / std::log(10.0) > 4;
    for (int e = static_cast<int>(std::floor(low / std::log(10.0))); e * std::log(10.0) <= high; ++e)
      for (const double digit : {1.0, 2.0, 5.0})
        if (const double v = digit * std::pow(10.0, e); std::log(v) >= low && std::log(v) <= high && (!decades || digit == 1)) list.push_back(v);
    return list;
  }
};

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  double share(double v) const { return high > low ? (v - low) / (high - low) : 1; }
};

int shade(double share) { return std::clamp(static_cast<int>(share * kShades), 0, kShades - 1); }

double accuracy(const Candidate& c) { return c.scores.empty() ? NAN : c.scores.back().top1; }

std::string knob_text(const Candidate& c) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : c.point.design.options.items())
    if (key != "include_top" && key != "num_classes") parts.push_back(fmt::format("{} = {}", key, value.dump()));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string tooltip(const FrontReport& r, std::size_t i) {
  const Candidate& c = r.candidates[i];
  std::string text = fmt::format("point {}: RAM {}, flash {}, {} MACs, {} parameters\n{}", i + 1, format_resource(kRam, c.use(kRam)),
                                 format_resource(kFlash, c.use(kFlash)), format_resource(kMacs, c.use(kMacs)),
                                 format_count(c.point.design.cost.parameters), knob_text(c));
  for (const ProxyScore& s : c.scores) text += fmt::format("\ntop-1 {} after {} epoch{}", percent(s.top1), s.epochs, s.epochs == 1 ? "" : "s");
  if (c.undominated) text += *c.undominated ? "\nundominated" : "\ndominated";
  return text;
}

class Picture {
 public:
  explicit Picture(const FrontReport& report) : report_(report), x_(scale(0, kLeft, kWidth - kRight)), y_(scale(2, kHeight - kBottom, kTop)) {
    for (const Candidate& c : report.candidates) {
      flash_.add(std::log(c.use(kFlash)));
      accuracy_.add(accuracy(c));
    }
    trained_ = accuracy_.low <= accuracy_.high;
  }

  /// `page`: what a point's link leads to: "" in the page itself.
  std::string draw(std::string_view page, std::string_view style) const {
    std::string svg = fmt::format(
        "<svg class=\"front\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}"
        "<rect class=\"paper\" width=\"{}\" height=\"{}\"/>\n",
        kWidth, kHeight, escape_html(title()), style, kWidth, kHeight);
    svg += fmt::format("<text class=\"title\" x=\"{}\" y=\"22\">{}</text>\n", kLeft, escape_html(title()));
    return svg + axes() + limits() + points(page) + legend() + "</svg>\n";
  }

 private:
  // The points and, where they are near, the largest budgets.
  Scale scale(std::size_t axis, double from, double to) const {
    Range range;
    for (const Candidate& c : report_.candidates) range.add(c.use(kFrontAxes[axis]));
    range.add(report_.budgets[axis].back());
    return {range.low, range.high, from, to};
  }

  std::string title() const {
    return fmt::format("{} for {}, {} classes{}: {} networks", report_.family, to_string(report_.input), report_.classes,
                       report_.target.empty() ? "" : ", " + report_.target, report_.candidates.size());
  }

  std::string axes() const {
    std::string svg;
    for (const double t : x_.ticks(true))
      svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/><text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>\n",
                         x_(t), kTop, kHeight - kBottom, kHeight - kBottom + 18, short_bytes(t));
    for (const double t : y_.ticks(false))
      svg += fmt::format("<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>\n", kLeft,
                         kWidth - kRight, y_(t), kLeft - 8, y_(t) + 4, short_count(t));
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">RAM for activations</text>", (kLeft + kWidth - kRight) / 2, kHeight - 10);
    return svg + fmt::format("<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">MACs an inference</text>\n", (kTop + kHeight - kBottom) / 2);
  }

  std::string limits() const {
    const double x = x_(report_.budgets[0].back()), y = y_(report_.budgets[2].back());
    return fmt::format("<line class=\"limit\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/><line class=\"limit\" x1=\"{3}\" x2=\"{4}\" y1=\"{5:.1f}\" y2=\"{5:.1f}\"/>\n", x,
                       kTop, kHeight - kBottom, kLeft, kWidth - kRight, y);
  }

  double radius(double flash) const { return kLeast + (kMost - kLeast) * flash_.share(std::log(flash)); }

  std::string points(std::string_view page) const {
    std::vector<std::size_t> order(report_.candidates.size());  // the large ones first, below the others
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return report_.candidates[a].use(kFlash) > report_.candidates[b].use(kFlash); });
    std::string svg, numbers;
    for (const std::size_t i : order) {
      const Candidate& c = report_.candidates[i];
      const double r = radius(c.use(kFlash)), x = x_(c.use(kRam)), y = y_(c.use(kMacs));
      const double share = trained_ ? accuracy_.share(accuracy(c)) : flash_.share(std::log(c.use(kFlash)));
      const bool untrained = trained_ && !std::isfinite(accuracy(c));
      svg += fmt::format("<a href=\"{}#p{}\" class=\"{}\"><circle class=\"q{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"><title>{}</title></circle></a>\n", page, i + 1,
                         untrained ? "untrained" : c.undominated.value_or(false) ? "best" : "point", untrained ? 0 : shade(share), x, y, r, escape_html(tooltip(report_, i)));
      if (order.size() <= 40) numbers += fmt::format("<text class=\"number\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x + r + 2, y - 2, i + 1);
    }
    return svg + numbers;
  }

  std::string legend() const {
    const double x = kWidth - kRight + 20;
    double y = kTop + 12;
    std::string svg = fmt::format("<text x=\"{}\" y=\"{}\">flash</text>\n", x, y);
    for (const double share : {1.0, 0.5, 0.0}) {
      const double flash = std::exp(flash_.low + share * (flash_.high - flash_.low)), r = radius(flash);
      y += r + 6;
      svg += fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{:.1f}\" r=\"{:.1f}\"/><text x=\"{}\" y=\"{:.1f}\">{}</text>\n",
                         trained_ ? "size" : fmt::format("q{}", shade(flash_.share(std::log(flash)))), x + kMost, y, r, x + 2 * kMost + 8, y + 4, short_bytes(flash));
      y += r;
      if (flash_.high <= flash_.low) break;
    }
    if (trained_) {
      y += 34;
      svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\">top-1, held out</text>\n", x, y);
      for (int q = kShades - 1; q >= 0; --q) {
        svg += fmt::format("<rect class=\"q{}\" x=\"{}\" y=\"{:.1f}\" width=\"22\" height=\"14\"/>", q, x, y + 8 + 14 * (kShades - 1 - q));
      }
      svg += fmt::format("<text x=\"{0}\" y=\"{1:.1f}\">{2}</text><text x=\"{0}\" y=\"{3:.1f}\">{4}</text>\n", x + 30, y + 20, percent(accuracy_.high),
                         y + 6 + 14 * kShades, percent(accuracy_.low));
      y += 14 * kShades + 34;
      svg += fmt::format("<g class=\"best\"><circle class=\"size\" cx=\"{}\" cy=\"{:.1f}\" r=\"7\"/></g><text x=\"{}\" y=\"{:.1f}\">undominated</text>\n", x + 11, y - 4, x + 30, y);
    }
    y += 30;
    return svg + fmt::format("<line class=\"limit\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text x=\"{}\" y=\"{:.1f}\">largest budget</text>\n", x, x + 24, y - 4, y - 4,
                             x + 30, y);
  }

  const FrontReport& report_;
  Scale x_, y_;
  Range flash_, accuracy_;
  bool trained_ = false;
};

std::string row(const FrontReport& r, std::size_t i) {
  const Candidate& c = r.candidates[i];
  std::string html = fmt::format("<tr id=\"p{0}\"{1}><td class=\"n\">{0}</td>", i + 1, c.undominated.value_or(false) && !r.rungs.empty() ? " class=\"bottleneck\"" : "");
  if (!r.rungs.empty()) {
    html += fmt::format("<td class=\"n\">{}</td>", c.rank > 0 ? fmt::format("{}", c.rank) : "–");
    for (const Rung& rung : r.rungs) {
      const auto found = std::find_if(c.scores.begin(), c.scores.end(), [&](const ProxyScore& s) { return s.epochs == rung.epochs; });
      html += fmt::format("<td class=\"n\">{}</td>", found == c.scores.end() ? "–" : percent(found->top1));
    }
    html += fmt::format("<td>{}</td>", !c.undominated ? "–" : *c.undominated ? "<span class=\"yes\">yes</span>" : "no");
  }
  for (const Resource resource : kFrontAxes)
    html += fmt::format("<td class=\"n\" title=\"{} {}\">{}</td>", format_count(std::llround(c.use(resource))), resource == kMacs ? "MACs" : "bytes",
                        format_resource(resource, c.use(resource)));
  html += fmt::format("<td class=\"n\">{}</td><td class=\"knobs mono\">{}</td>", format_count(c.point.design.cost.parameters), escape_html(knob_text(c)));
  return html + fmt::format("<td><a href=\"recipes/{0}.toml\">{0}</a></td></tr>\n", escape_html(c.name));
}

std::string table(const FrontReport& r) {
  std::string html = "<div class=\"scroll\"><table><thead><tr><th class=\"n\">point</th>";
  if (!r.rungs.empty()) {
    html += "<th class=\"n\">rank</th>";
    for (const Rung& rung : r.rungs) html += fmt::format("<th class=\"n\">top-1, {} epoch{}</th>", rung.epochs, rung.epochs == 1 ? "" : "s");
    html += "<th>undominated</th>";
  }
  html += "<th class=\"n\">RAM</th><th class=\"n\">flash</th><th class=\"n\">MACs</th><th class=\"n\">parameters</th><th>hyperparameters</th><th>recipe</th></tr></thead><tbody>\n";
  std::vector<std::size_t> order(r.candidates.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto place = [&](std::size_t i) { return r.candidates[i].rank > 0 ? r.candidates[i].rank : 1 << 30; };
  if (!r.rungs.empty()) std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return place(a) < place(b); });
  for (const std::size_t i : order) html += row(r, i);
  return html + "</tbody></table></div>";
}

std::string proxy_text(const FrontReport& r) {
  if (r.rungs.empty()) return "";
  std::vector<std::string> rungs;
  for (const Rung& rung : r.rungs) rungs.push_back(fmt::format("{} for {} epoch{}", rung.candidates, rung.epochs, rung.epochs == 1 ? "" : "s"));
  return fmt::format(" Accuracy is top-1 on held-out training images of {} after brief trainings by successive halving ({}); undominated networks have no "
                     "other that uses no more of anything and is as accurate after as many epochs.",
                     escape_html(r.data), fmt::join(rungs, ", "));
}

}  // namespace

std::string front_svg(const FrontReport& report) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + Picture(report).draw("front.html", fmt::format("<style>{}</style>", resource("micromind/run/page/front.css")));
}

std::string front_page(const FrontReport& r) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>A front of {0} – micromind</title><style>\n{1}{2}</style></head><body><main>\n"
      "<header><h1>What each budget buys: {0}</h1><p class=\"soft\">{3} images · {4} classes{5}</p></header>\n"
      "<section><h2>The front</h2><p>The best network for every mix of RAM, flash and MACs: {6} mixes, {7} networks, solved exactly in {8:.0f} ms.{9}</p>{10}</section>\n"
      "<section><h2>The networks</h2><p>Each recipe trains, quantises and deploys its network: micromind run RECIPE.</p>{11}</section>\n"
      "<footer>Made by micromind. This page is one file and loads nothing.</footer></main></body></html>\n",
      escape_html(r.family), resource("micromind/run/page/report.css"), resource("micromind/run/page/front.css"), to_string(r.input), r.classes,
      r.target.empty() ? "" : " · " + escape_html(r.target), r.combinations, r.candidates.size(), r.ms, proxy_text(r), Picture(r).draw("", ""), table(r));
}

}  // namespace micromind
