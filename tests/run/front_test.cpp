#include "micromind/run/front.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "error_of.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/networks/registry.h"
#include "micromind/run/design_recipe.h"
#include "micromind/run/proxy.h"
#include "micromind/run/run_folder.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using nlohmann::json;
namespace fs = std::filesystem;

FrontReport small_front(int steps = 3, double macs = 2e6) {
  const DesignRequest request{.family = "phinet", .input = {3, 32, 32}, .classes = 10, .budget = {.ram_bytes = 32e3, .flash_bytes = 200e3, .macs = macs}};
  return make_front_report(design_front(request, steps), request, steps, [](const Design& d) { return with_design(Recipe{}, d, false); });
}

// RFC 4180, to check the writer by.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, std::vector<std::string>(1));
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string& cell = rows.back().back();
    if (quoted && text[i] == '"' && i + 1 < text.size() && text[i + 1] == '"') cell += text[++i];
    else if (text[i] == '"') quoted = !quoted;
    else if (!quoted && text[i] == ',') rows.back().emplace_back();
    else if (!quoted && text[i] == '\r') continue;
    else if (!quoted && text[i] == '\n') rows.emplace_back(1);
    else cell += text[i];
  }
  rows.pop_back();  // after the last line end
  return rows;
}

TEST(Front, CsvEqualsJson) {
  FrontReport report = small_front();
  report.candidates[0].scores = {{1, 0.25, 1.5}, {2, 0.5, 3}};
  report.candidates[1].scores = {{1, NAN, 1}};
  report.rungs = {{1, 2}, {2, 1}};
  rank_candidates(report);
  const json all = to_json(report);
  const auto rows = parse_csv(front_csv(report));
  ASSERT_EQ(rows.size(), all["points"].size() + 1);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), rows[0].size());
    json point = all["points"][i - 1];
    json flat = point;
    flat.update(point["used"]);
    flat.update(point["hyperparameters"]);
    for (const auto& [key, value] : point["budget"].items()) flat["budget_" + key] = value;
    flat["family"] = all["family"];
    for (std::size_t c = 0; c < rows[i].size(); ++c) {
      const json& value = flat.value(rows[0][c], json());
      EXPECT_EQ(rows[i][c], value.is_null() ? "" : value.is_string() ? value.get<std::string>() : value.dump()) << rows[0][c];
    }
  }
  EXPECT_EQ(all["points"][0]["top1"], 0.5);
  EXPECT_EQ(all["points"][0]["epochs"], 2);
  EXPECT_TRUE(all["points"][1]["top1"].is_null());
}

TEST(Front, EveryRecipeBuildsItsNetwork) {
  TemporaryFolder temporary;
  const FrontReport report = small_front();
  FrontFolder folder = FrontFolder::open(temporary.path() / "front", report, Overwrite::no);
  EXPECT_TRUE(folder.write(report).empty());
  std::set<std::string> names;
  std::string list;
  for (const Candidate& c : report.candidates) {
    EXPECT_TRUE(names.insert(c.name).second);
    const Recipe recipe = load_recipe(folder.recipe_file(c).string());
    EXPECT_EQ(recipe.run.name, c.name);
    const Graph network = build_network(recipe.network.family, recipe.network.options);
    const Cost cost = estimate_cost(network, lower(network));
    EXPECT_EQ(static_cast<double>(cost.peak_ram_bytes), c.use(kRam));
    EXPECT_EQ(static_cast<double>(cost.flash_bytes), c.use(kFlash));
    EXPECT_EQ(static_cast<double>(cost.macs), c.use(kMacs));
    list += folder.recipe_file(c).string() + "\n";
  }
  EXPECT_EQ(read_text(folder.recipe_list()), list);
  for (const char* file : {"front.csv", "front.json", "front.html", "front.svg"}) EXPECT_TRUE(fs::exists(folder.path() / file)) << file;
}

TEST(Front, PicturesStandAlone) {
  const FrontReport report = small_front();
  const std::string page = front_page(report), svg = front_svg(report);
  for (const std::string& text : {page, svg}) {
    EXPECT_THAT(text, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf ")), Not(HasSubstr("<script")), HasSubstr("prefers-color-scheme: dark")));
    std::string rest = text;  // nothing from elsewhere but the SVG name space
    for (std::size_t at; (at = rest.find("http://www.w3.org/2000/svg")) != std::string::npos;) rest.erase(at, 26);
    EXPECT_THAT(rest, Not(HasSubstr("http")));
  }
  for (std::size_t i = 0; i < report.candidates.size(); ++i) {
    EXPECT_THAT(page, AllOf(HasSubstr(fmt::format("href=\"#p{}\"", i + 1)), HasSubstr(fmt::format("id=\"p{}\"", i + 1)), HasSubstr(report.candidates[i].name)));
    EXPECT_THAT(svg, HasSubstr(fmt::format("front.html#p{}\"", i + 1)));
  }
  FrontReport one = small_front(1);  // scales of a single point
  ASSERT_EQ(one.candidates.size(), 1u);
  EXPECT_THAT(front_svg(one), AllOf(HasSubstr("<circle"), Not(HasSubstr("nan"))));
  one.rungs = {{1, 1}};
  one.candidates[0].scores = {{1, NAN, 0}};
  rank_candidates(one);
  EXPECT_THAT(front_page(one), Not(HasSubstr("nan")));
}

TEST(Front, NeverOverwritesSilently) {
  TemporaryFolder temporary;
  const fs::path path = temporary.path() / "front";
  const FrontReport report = small_front(), other = small_front(3, 1e6);
  FrontFolder::open(path, report, Overwrite::no).write(report);
  const auto open = [&](const FrontReport& r, Overwrite o) { return [&path, &r, o] { FrontFolder::open(path, r, o); }; };
  EXPECT_THAT(error_of(open(other, Overwrite::no)), AllOf(HasSubstr("another request"), HasSubstr("--force")));

  // A recipe changed by hand stays; one that is missing comes back.
  FrontFolder same = FrontFolder::open(path, report, Overwrite::no);
  const fs::path mine = same.recipe_file(report.candidates[1]), gone = same.recipe_file(report.candidates[0]);
  write_atomic(mine, read_text(mine) + "\n# mine\n");
  fs::remove(gone);
  EXPECT_THAT(same.write(report), ElementsAre(mine.string()));
  EXPECT_THAT(read_text(mine), HasSubstr("# mine"));
  EXPECT_EQ(read_text(gone), report.candidates[0].recipe_text);

  // --force: the old front's recipes go, those changed by hand and what is not ours stay.
  write_atomic(path / "notes.txt", "mine");
  const std::set<std::string> kept = [&] {
    std::set<std::string> names;
    for (const Candidate& c : other.candidates) names.insert(c.name);
    return names;
  }();
  FrontFolder::open(path, other, Overwrite::front).write(other);
  EXPECT_TRUE(fs::exists(path / "notes.txt"));
  EXPECT_TRUE(fs::exists(mine));
  for (const Candidate& c : report.candidates)
    if (!kept.contains(c.name) && same.recipe_file(c) != mine) {
      EXPECT_FALSE(fs::exists(same.recipe_file(c))) << c.name;
    }
  for (const Candidate& c : other.candidates) EXPECT_TRUE(fs::exists(same.recipe_file(c)));

  write_atomic(temporary.path() / "full" / "x.txt", "x");
  EXPECT_THAT(error_of([&] { FrontFolder::open(temporary.path() / "full", report, Overwrite::front); }), HasSubstr("holds no front"));
  EXPECT_THAT(error_of([&] { FrontFolder::open(temporary.path() / "full" / "x.txt", report, Overwrite::no); }), HasSubstr("no folder"));
  write_atomic(path / "front.json", "{");
  EXPECT_THAT(error_of(open(other, Overwrite::no)), HasSubstr("no front of this program"));
  // A damaged or hostile front.json removes nothing outside the folder.
  write_atomic(temporary.path() / "victim.toml", "text");
  write_atomic(path / "front.json", json{{"request", other.request}, {"points", {{{"name", "../../victim"}, {"recipe_toml", "text"}}, 7, json::object()}}}.dump());
  FrontFolder::open(path, other, Overwrite::no).write(other);
  EXPECT_TRUE(fs::exists(temporary.path() / "victim.toml"));
  write_atomic(path / "front.json", json{{"request", other.request}, {"proxy", {{"data", 3}}}, {"points", json::array()}}.dump());
  FrontReport again = other;
  EXPECT_THAT(error_of([&] { FrontFolder::open(path, other, Overwrite::no).recall(again); }), HasSubstr("damaged"));
  EXPECT_THAT(error_of([&] { FrontFolder::open(path / "notes.txt" / "front", other, Overwrite::no).write(other); }), HasSubstr("cannot make the folder"));
}

TEST(Front, SchedulerLinesAreForTheShell) {
  EXPECT_THAT(scheduler_lines("run", "a/recipes.txt", "a/runs", 7), AllOf(HasSubstr(":::: a/recipes.txt"), HasSubstr("--array=1-7")));
  // The Slurm line's command, run by a shell for task 2, in a folder whose name a shell would take apart.
  TemporaryFolder temporary;
  const fs::path folder = temporary.path() / "it's a $HOME";
  write_atomic(folder / "list.txt", "one.toml\nsub/two.toml\n");
  const std::string lines = scheduler_lines("train", folder / "list.txt", folder / "runs", 2);
  const std::string command = lines.substr(lines.find("--wrap ") + 7);
  const ProcessResult r = run_process({"/bin/sh", "-c", "micromind() { printf '%s\\n' \"$@\"; }; SLURM_ARRAY_TASK_ID=2; eval " + command});
  EXPECT_EQ(r.out, fmt::format("train\nsub/two.toml\n--resume\n--output\n{}/runs/two\n", folder.string())) << r.err;
}

TEST(Halving, Schedule) {
  EXPECT_EQ(halving_schedule(8, 4), (std::vector<Rung>{{1, 8}, {2, 4}, {4, 2}}));
  EXPECT_EQ(halving_schedule(8, 8), (std::vector<Rung>{{1, 8}, {2, 4}, {4, 2}, {8, 1}}));
  EXPECT_EQ(halving_schedule(8, 100), (std::vector<Rung>{{13, 8}, {25, 4}, {50, 2}, {100, 1}}));
  EXPECT_EQ(halving_schedule(9, 9, 3), (std::vector<Rung>{{1, 9}, {3, 3}, {9, 1}}));
  EXPECT_EQ(halving_schedule(5, 1), (std::vector<Rung>{{1, 5}}));
  EXPECT_EQ(halving_schedule(1, 6), (std::vector<Rung>{{6, 1}}));
  for (int n = 1; n < 40; ++n)
    for (std::int64_t k = 1; k < 40; ++k)
      for (int eta = 2; eta < 5; ++eta) {
        const std::vector<Rung> rungs = halving_schedule(n, k, eta);
        EXPECT_EQ(rungs.front().candidates, n);
        EXPECT_EQ(rungs.back().epochs, k);
        for (std::size_t i = 1; i < rungs.size(); ++i) {
          EXPECT_GT(rungs[i].epochs, rungs[i - 1].epochs);
          EXPECT_LE(rungs[i].candidates, rungs[i - 1].candidates);
          EXPECT_GE(rungs[i].candidates, 1);
        }
        EXPECT_GE(rungs.front().epochs, 1);
      }
  EXPECT_THAT(error_of([] { halving_schedule(3, 0); }), HasSubstr("0 epochs"));
  EXPECT_THAT(error_of([] { halving_schedule(3, 1, 1); }), HasSubstr("2 to 100"));
  EXPECT_THAT(error_of([] { halving_schedule(0, 1); }), HasSubstr("candidates"));
  const std::vector<RungScore> scores = {{0, 0.5, 10}, {1, NAN, 1}, {2, 0.9, 9}, {3, 0.5, 5}};
  EXPECT_THAT(best_first(scores), ElementsAre(2, 3, 0, 1));
}

TEST(Front, RanksLongerTrainedFirstAndComparesEquals) {
  FrontReport report = small_front();
  ASSERT_GE(report.candidates.size(), 4u);
  auto& c = report.candidates;
  // The first uses least: it dominates whatever it is as accurate as, after as many epochs.
  c.back().scores = {{1, 0.5, 1}, {2, 0.8, 1}};
  c[0].scores = {{1, 0.6, 1}};
  c[1].scores = {{1, 0.3, 1}, {2, 0.4, 1}};
  rank_candidates(report);
  EXPECT_EQ(c.back().rank, 1);
  EXPECT_EQ(c[1].rank, 2);
  EXPECT_EQ(c[0].rank, 3);
  EXPECT_EQ(c[2].rank, 0);
  EXPECT_FALSE(c[2].undominated.has_value());
  EXPECT_TRUE(c[0].undominated.value());
  if (c[0].use(kFlash) <= c.back().use(kFlash) && c[0].use(kRam) <= c.back().use(kRam)) {
    EXPECT_FALSE(c.back().undominated.value()) << "0.6 against 0.5 after one epoch each";
  }
  c[0].scores[0].top1 = 0.4;
  rank_candidates(report);
  EXPECT_TRUE(c.back().undominated.value());
}

// A training as any scheduler does it: a run folder with a result. Accuracy grows with MACs and epochs.
void pretend(const Recipe& recipe, const fs::path& path, double top1) {
  RunFolder run = RunFolder::create(path, recipe, IfPresent::resume);
  run.set_result("train", {{"top1", top1}, {"seconds", 1.5}});
}

TEST(Proxy, HalvesResumesAndCollects) {
  TemporaryFolder temporary;
  FrontReport report = small_front();
  const std::size_t n = report.candidates.size();
  ASSERT_GE(n, 4u);
  FrontFolder folder = FrontFolder::open(temporary.path() / "front", report, Overwrite::no);
  folder.write(report);
  ProxyPlan plan(folder, report, {.epochs = 2});
  ASSERT_EQ(report.rungs.size(), 2u);
  std::vector<std::string> trained;
  const auto accuracy = [&](const Recipe& recipe) {
    double macs = 0;
    for (const Candidate& c : report.candidates)
      if (recipe.run.name.starts_with(c.name)) macs = c.use(kMacs);
    return std::log(macs) / 100 + 0.01 * static_cast<double>(recipe.train.epochs);
  };
  struct Stopped {};
  const auto stop_after = [&](std::size_t count) {
    return [&, count](const Recipe& recipe, const fs::path& run) {
      if (trained.size() == count) throw Stopped{};
      trained.push_back(recipe.run.name);
      EXPECT_EQ(recipe.data.validation_share, 0.1);
      EXPECT_EQ(run.filename().string(), recipe.run.name);
      pretend(recipe, run, accuracy(recipe));
    };
  };
  EXPECT_THROW(plan.advance(stop_after(2)), Stopped);
  EXPECT_EQ(json::parse(read_text(folder.path() / "front.json"))["points"][1]["top1"].is_number(), true) << "what is done is kept";

  // A scheduler takes the next from the list; what it trains differs in speed only.
  EXPECT_FALSE(plan.advance(nullptr));
  ASSERT_EQ(plan.pending().size(), n - 2);
  EXPECT_THAT(read_text(plan.list()), HasSubstr(plan.pending()[0].string()));
  Recipe elsewhere = load_recipe(plan.pending()[0].string(), {"train.device=cuda", "train.threads=7"});
  pretend(elsewhere, folder.runs() / plan.pending()[0].stem(), accuracy(elsewhere));
  EXPECT_FALSE(plan.advance(nullptr));
  EXPECT_EQ(plan.pending().size(), n - 3);

  // The rest here: nothing is trained twice, and the better half goes on.
  std::vector<ProxyProgress> notes;
  EXPECT_TRUE(plan.advance(stop_after(1000), [&](const ProxyProgress& p) { notes.push_back(p); }));
  EXPECT_EQ(std::set<std::string>(trained.begin(), trained.end()).size(), trained.size());
  EXPECT_EQ(trained.size(), n - 1 + (n + 1) / 2);
  for (const std::string& name : trained)
    if (name.ends_with("-e2")) {
      EXPECT_GE(name.substr(0, 3), fmt::format("{:03}", n - (n + 1) / 2 + 1)) << "the front is sorted by MACs";
    }
  EXPECT_TRUE(notes.front().found);
  EXPECT_EQ(notes.back().rung, 2u);
  EXPECT_EQ(notes.back().done, notes.back().trainings);
  EXPECT_EQ(report.candidates.back().rank, 1);
  EXPECT_TRUE(plan.advance(nullptr)) << "all is there";
  EXPECT_TRUE(plan.pending().empty());

  // The folder knows the scores; another run in the way is named.
  FrontReport again = small_front();
  FrontFolder::open(folder.path(), again, Overwrite::no).recall(again);
  EXPECT_EQ(to_json(again)["points"][n - 1]["scores"], to_json(report)["points"][n - 1]["scores"]);
  EXPECT_EQ(again.candidates.back().rank, 1);
  FrontReport changed = small_front();
  for (Candidate& c : changed.candidates) c.recipe.train.learning_rate = 0.5;
  FrontFolder same = FrontFolder::open(folder.path(), changed, Overwrite::no);
  EXPECT_THAT(error_of([&] { ProxyPlan(same, changed, {.epochs = 2}).advance(nullptr); }), AllOf(HasSubstr("another recipe"), HasSubstr("learning_rate")));
  EXPECT_THAT(error_of([&] { ProxyPlan(same, changed, {.epochs = 0}); }), HasSubstr("0 epochs"));
}

TEST(Proxy, ATrainingWithoutResultIsAnError) {
  TemporaryFolder temporary;
  FrontReport report = small_front(1);
  FrontFolder folder = FrontFolder::open(temporary.path() / "front", report, Overwrite::no);
  ProxyPlan plan(folder, report, {.epochs = 1});
  EXPECT_THAT(error_of([&] { plan.advance([](const Recipe&, const fs::path&) {}); }), HasSubstr("without a result"));
}

}  // namespace
}  // namespace micromind
