#include "micromind/run/front.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// "94kB-312kB-4120k": RAM, flash, MACs, without a dot or blank, for file names.
std::string size_name(const FrontPoint& p) {
  const auto kilo = [](double amount, double unit) { return std::llround(std::ceil(amount / unit)); };
  return fmt::format("{}kB-{}kB-{}k", kilo(p.use(kRam), 1024), kilo(p.use(kFlash), 1024), kilo(p.use(kMacs), 1000));
}

json request_json(const DesignRequest& r, int steps) {
  const auto optional = [](const std::optional<double>& value) { return value ? json(*value) : json(); };
  const Budget& b = r.budget;
  return {{"family", r.family},
          {"input", std::vector<int>(r.input.begin(), r.input.end())},
          {"classes", r.classes},
          {"target", r.target ? json(r.target->name) : json()},
          {"budget", {{"ram_bytes", optional(b.ram_bytes)},
                      {"flash_bytes", optional(b.flash_bytes)},
                      {"macs", optional(b.macs)},
                      {"latency_ms", optional(b.latency_ms)},
                      {"least_flash_bytes", optional(b.least_flash_bytes)},
                      {"least_macs", optional(b.least_macs)}}},
          {"objective", objective_name(r.objective)},
          {"weights", r.weights ? json(*r.weights) : json()},
          {"space", r.space},
          {"options", r.options},
          {"points_per_axis", steps}};
}

std::string recipe_text(const Candidate& c, const FrontReport& report, std::size_t index) {
  std::string text = fmt::format("# Point {} of {} of a front of {} for {} and {} classes{}: made by `micromind design --pareto`.\n#\n", index + 1,
                                 report.candidates.size(), report.family, to_string(report.input), report.classes,
                                 report.target.empty() ? "" : " on " + report.target);
  for (const Resource r : kFrontAxes) text += fmt::format("#   {:5} {}\n", resource_name(r), format_resource(r, c.use(r)));
  return text + "\n" + to_toml(c.recipe, false);
}

bool uses_no_more(const Candidate& a, const Candidate& b) {
  return std::all_of(kFrontAxes.begin(), kFrontAxes.end(), [&](Resource r) { return a.use(r) <= b.use(r); });
}

// a's accuracy less b's after the most epochs that both were trained for; nothing when there are none.
std::optional<double> lead(const Candidate& a, const Candidate& b) {
  for (auto i = a.scores.rbegin(); i != a.scores.rend(); ++i)
    for (const ProxyScore& j : b.scores)
      if (i->epochs == j.epochs && std::isfinite(i->top1) && std::isfinite(j.top1)) return i->top1 - j.top1;
  return std::nullopt;
}

bool dominates(const Candidate& a, const Candidate& b) {
  if (!uses_no_more(a, b)) return false;
  const std::optional<double> ahead = lead(a, b);
  return ahead && (*ahead > 0 || (*ahead == 0 && !uses_no_more(b, a)));
}

// As one word of a POSIX shell.
std::string shell_word(const std::string& text) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("_-./+,:@%").find(c) != std::string_view::npos; };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

// A file name that this program may have given, so that nothing outside the folder is touched.
bool is_plain(const std::string& name) { return !name.empty() && name.find('/') == std::string::npos && name.front() != '.'; }

}  // namespace

FrontReport make_front_report(Front front, const DesignRequest& request, int steps, const std::function<Recipe(const Design&)>& recipe_of) {
  FrontReport report{.family = request.family, .target = request.target ? request.target->name : "", .input = request.input, .classes = request.classes};
  report.request = request_json(request, steps);
  report.budgets = front.budgets;
  report.combinations = front.combinations;
  report.infeasible = front.infeasible;
  report.dropped = front.dropped;
  report.ms = front.ms;
  for (FrontPoint& point : front.points) {
    Candidate c{.point = std::move(point)};
    c.name = fmt::format("{:03}-{}-{}", report.candidates.size() + 1, report.family, size_name(c.point));
    c.recipe = recipe_of(c.point.design);
    c.recipe.run.name = c.name;
    report.candidates.push_back(std::move(c));
  }
  for (std::size_t i = 0; i < report.candidates.size(); ++i) report.candidates[i].recipe_text = recipe_text(report.candidates[i], report, i);
  return report;
}

void rank_candidates(FrontReport& report) {
  std::vector<RungScore> scores;
  int rank = 0;
  std::vector<std::int64_t> lengths;
  for (Candidate& c : report.candidates) {
    c.rank = 0;
    c.undominated.reset();
    if (!c.scores.empty()) lengths.push_back(c.scores.back().epochs);
  }
  std::sort(lengths.rbegin(), lengths.rend());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  for (const std::int64_t epochs : lengths) {
    scores.clear();
    for (std::size_t i = 0; i < report.candidates.size(); ++i) {
      const Candidate& c = report.candidates[i];
      if (!c.scores.empty() && c.scores.back().epochs == epochs) scores.push_back({static_cast<int>(i), c.scores.back().top1, c.use(kMacs)});
    }
    for (const int i : best_first(scores)) report.candidates[static_cast<std::size_t>(i)].rank = ++rank;
  }
  for (Candidate& c : report.candidates)
    if (!c.scores.empty())
      c.undominated = std::none_of(report.candidates.begin(), report.candidates.end(), [&](const Candidate& other) { return &other != &c && dominates(other, c); });
}

FrontFolder FrontFolder::open(const fs::path& path, const FrontReport& report, Overwrite overwrite) {
  FrontFolder folder(path);
  std::error_code error;
  if (!fs::exists(path, error) || (fs::is_directory(path, error) && fs::is_empty(path, error) && !error)) return folder;
  if (!fs::is_directory(path, error)) fail_with_hint("pareto", "choose another --output", "{} is there already and is no folder", path.string());
  const fs::path file = path / "front.json";
  if (!fs::is_regular_file(file, error))
    fail_with_hint("pareto", "choose another --output", "{} is there already and holds no front (it has no front.json)", path.string());
  folder.before_ = json::parse(read_text(file), nullptr, false);
  const bool readable = folder.before_.is_object() && folder.before_.contains("request");
  if (!readable) folder.before_ = json();
  if (overwrite == Overwrite::front) return folder;
  if (!readable) fail_with_hint("pareto", "--force writes the front anew, another --output leaves it", "{} is no front of this program", file.string());
  if (folder.before_["request"] != report.request)
    fail_with_hint("pareto", "--force replaces it (trained runs stay), another --output leaves it", "{} holds the front of another request: {}",
                   path.string(), folder.before_["request"].dump());
  return folder;
}

void FrontFolder::recall(FrontReport& report) const {
  try {
    if (!before_.is_object() || !before_.contains("proxy") || before_.at("proxy").is_null()) return;
    const json& proxy = before_.at("proxy");
    report.data = proxy.at("data").get<std::string>();
    report.eta = proxy.at("eta").get<int>();
    for (const json& rung : proxy.at("rungs")) report.rungs.push_back({rung.at("epochs").get<std::int64_t>(), rung.at("candidates").get<int>()});
    for (const json& point : before_.at("points"))
      for (Candidate& c : report.candidates)
        if (c.name == point.at("name").get<std::string>())
          for (const json& s : point.at("scores"))
            c.scores.push_back({s.at("epochs").get<std::int64_t>(), s.at("top1").is_null() ? NAN : s.at("top1").get<double>(), s.at("seconds").get<double>()});
  } catch (const json::exception& e) {
    fail_with_hint("pareto", "--force writes it anew", "{} is damaged: {}", (path_ / "front.json").string(), without_tag(e.what()));
  }
  rank_candidates(report);
}

std::vector<std::string> FrontFolder::write(const FrontReport& report) {
  // What an earlier front wrote, by file name, to tell it from what somebody has changed since.
  std::map<std::string, std::string> written;
  if (before_.is_object() && before_.contains("points") && before_["points"].is_array())
    for (const json& point : before_["points"]) {
      if (!point.is_object() || !point.value("name", json()).is_string() || !point.value("recipe_toml", json()).is_string()) continue;
      if (const auto name = point["name"].get<std::string>(); is_plain(name)) written[name] = point["recipe_toml"].get<std::string>();
    }
  write_results(report);  // front.json first: it says whose folder this is
  std::vector<std::string> changed;
  std::string list;
  std::error_code ignored;
  for (const Candidate& c : report.candidates) {
    const fs::path file = recipe_file(c);
    const std::string now = fs::is_regular_file(file, ignored) ? read_text(file) : "";
    const auto before = written.extract(c.name);
    if (now.empty() || (!before.empty() && before.mapped() == now)) {
      if (now != c.recipe_text) write_atomic(file, c.recipe_text);
    } else if (now != c.recipe_text) {
      changed.push_back(file.string());
    }
    list += file.string() + "\n";
  }
  for (const auto& [name, text] : written)  // of points that are no longer there
    if (const fs::path file = path_ / "recipes" / (name + ".toml"); fs::is_regular_file(file, ignored) && read_text(file) == text) fs::remove(file, ignored);
  write_atomic(recipe_list(), list);
  return changed;
}

void FrontFolder::write_results(const FrontReport& report) {
  before_ = to_json(report);
  write_atomic(path_ / "front.json", before_.dump(1) + "\n");
  write_atomic(path_ / "front.csv", front_csv(report));
  write_atomic(path_ / "front.svg", front_svg(report));
  write_atomic(path_ / "front.html", front_page(report));
}

std::string scheduler_lines(std::string_view verb, const fs::path& list, const fs::path& runs, std::size_t count) {
  const std::string files = shell_word(list.string()), folder = shell_word(runs.string());
  const std::string each = fmt::format("f=$(sed -n \"${{SLURM_ARRAY_TASK_ID}}p\" {1}); micromind {0} \"$f\" --resume --output {2}/$(basename \"$f\" .toml)", verb, files, folder);
  return fmt::format("parallel -j 4 micromind {0} {{}} --resume --output {2}/{{/.}} :::: {1}\nsbatch --array=1-{3} --wrap {4}", verb, files, folder, count,
                     shell_word(each));
}

}  // namespace micromind
