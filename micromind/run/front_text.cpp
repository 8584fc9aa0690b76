// A front as JSON, CSV and a table for the terminal.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "micromind/base/text.h"
#include "micromind/run/front.h"

namespace micromind {
namespace {

using nlohmann::json;

constexpr const char* kNames[] = {"ram_bytes", "flash_bytes", "macs"};  // of kFrontAxes

json number_or_null(double value) { return std::isfinite(value) ? json(value) : json(); }
json whole(double value) { return std::isfinite(value) ? json(std::llround(value)) : json(); }

json point_json(const Candidate& c, std::size_t index) {
  json used, budget;
  json budgets = json::array();
  for (std::size_t a = 0; a < kFrontAxes.size(); ++a) {
    used[kNames[a]] = whole(c.use(kFrontAxes[a]));
    budget[kNames[a]] = whole(c.point.budgets.front()[kFrontAxes[a]]);
  }
  for (const Resources<double>& b : c.point.budgets) budgets.push_back({{kNames[0], whole(b[kRam])}, {kNames[1], whole(b[kFlash])}, {kNames[2], whole(b[kMacs])}});
  json scores = json::array();
  for (const ProxyScore& s : c.scores) scores.push_back({{"epochs", s.epochs}, {"top1", number_or_null(s.top1)}, {"seconds", s.seconds}});
  const Design& d = c.point.design;
  json point = {{"point", index + 1}, {"name", c.name}, {"hyperparameters", d.options}, {"used", used}, {"parameters", d.cost.parameters},
                {"budget", budget}, {"budgets", budgets}, {"objective", d.objective}, {"gap", d.gap},
                {"recipe", "recipes/" + c.name + ".toml"}, {"recipe_toml", c.recipe_text}, {"scores", scores}};
  if (d.latency_ms > 0) point["latency_ms_estimate"] = d.latency_ms;
  point["epochs"] = c.scores.empty() ? json() : json(c.scores.back().epochs);
  point["top1"] = c.scores.empty() ? json() : number_or_null(c.scores.back().top1);
  point["rank"] = c.rank > 0 ? json(c.rank) : json();
  point["undominated"] = c.undominated ? json(*c.undominated) : json();
  return point;
}

// RFC 4180: quoted where it holds a comma, quote or line end.
std::string csv_cell(const json& value) {
  if (value.is_null()) return "";
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_line(const std::vector<json>& cells) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) line += (i > 0 ? "," : "") + csv_cell(cells[i]);
  return line + "\r\n";
}

}  // namespace

json to_json(const FrontReport& r) {
  json points = json::array(), budgets, rungs = json::array();
  for (std::size_t i = 0; i < r.candidates.size(); ++i) points.push_back(point_json(r.candidates[i], i));
  for (std::size_t a = 0; a < kFrontAxes.size(); ++a) {
    budgets[kNames[a]] = json::array();
    for (const double b : r.budgets[a]) budgets[kNames[a]].push_back(whole(b));
  }
  for (const Rung& rung : r.rungs) rungs.push_back({{"epochs", rung.epochs}, {"candidates", rung.candidates}});
  return {{"family", r.family},
          {"input", std::vector<int>(r.input.begin(), r.input.end())},
          {"classes", r.classes},
          {"target", r.target.empty() ? json() : json(r.target)},
          {"request", r.request},
          {"budgets", budgets},
          {"combinations", r.combinations},
          {"infeasible", r.infeasible},
          {"dropped", r.dropped},
          {"solve_ms", r.ms},
          {"proxy", r.rungs.empty() ? json() : json{{"data", r.data}, {"eta", r.eta}, {"rungs", rungs}}},
          {"points", points}};
}

std::string front_csv(const FrontReport& r) {
  std::vector<std::string> knobs;
  for (const Candidate& c : r.candidates)
    for (const auto& [key, value] : c.point.design.options.items())
      if (std::find(knobs.begin(), knobs.end(), key) == knobs.end()) knobs.push_back(key);
  std::vector<json> header = {"point", "name", "family"};
  for (const std::string& key : knobs) header.emplace_back(key);
  for (const char* key : {"ram_bytes", "flash_bytes", "macs", "parameters", "budget_ram_bytes", "budget_flash_bytes", "budget_macs", "objective", "gap",
                          "recipe", "epochs", "top1", "rank", "undominated"})
    header.emplace_back(key);
  std::string text = csv_line(header);
  for (std::size_t i = 0; i < r.candidates.size(); ++i) {
    const json p = point_json(r.candidates[i], i);
    std::vector<json> cells = {p["point"], p["name"], r.family};
    for (const std::string& key : knobs) cells.push_back(p["hyperparameters"].value(key, json()));
    for (const char* key : kNames) cells.push_back(p["used"][key]);
    cells.push_back(p["parameters"]);
    for (const char* key : kNames) cells.push_back(p["budget"][key]);
    for (const char* key : {"objective", "gap", "recipe", "epochs", "top1", "rank", "undominated"}) cells.push_back(p[key]);
    text += csv_line(cells);
  }
  return text;
}

std::string front_table(const FrontReport& r) {
  const bool trained = !r.rungs.empty();
  std::vector<std::vector<std::string>> rows = {{"point", "RAM", "flash", "MACs", "parameters"}};
  if (trained) {
    rows[0].insert(rows[0].begin(), "rank");
    for (const Rung& rung : r.rungs) rows[0].push_back(fmt::format("top-1 after {}", rung.epochs));
    rows[0].push_back("undominated");
  }
  std::vector<const Candidate*> order;
  for (const Candidate& c : r.candidates) order.push_back(&c);
  if (trained) {
    const auto place = [](const Candidate* c) { return c->rank > 0 ? c->rank : 1 << 30; };
    std::stable_sort(order.begin(), order.end(), [&](const Candidate* a, const Candidate* b) { return place(a) < place(b); });
  }
  for (const Candidate* c : order) {
    std::vector<std::string> row = {fmt::format("{}", c - r.candidates.data() + 1)};
    for (const Resource resource : kFrontAxes) row.push_back(format_resource(resource, c->use(resource)));
    row.push_back(format_count(c->point.design.cost.parameters));
    if (trained) {
      row.insert(row.begin(), c->rank > 0 ? fmt::format("{}", c->rank) : "");
      for (const Rung& rung : r.rungs) {
        const auto found = std::find_if(c->scores.begin(), c->scores.end(), [&](const ProxyScore& s) { return s.epochs == rung.epochs; });
        row.push_back(found == c->scores.end() ? "" : std::isfinite(found->top1) ? fmt::format("{:.2f} %", 100 * found->top1) : "none");
      }
      row.push_back(!c->undominated ? "" : *c->undominated ? "yes" : "no");
    }
    rows.push_back(std::move(row));
  }
  return format_table(rows);
}

}  // namespace micromind
