#include "micromind/cli/pareto.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/cli/verbs.h"
#include "micromind/run/design_recipe.h"
#include "micromind/run/front.h"
#include "micromind/run/proxy.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;

// A folder of images, or the name of a data set.
void set_data(Recipe& recipe, const std::string& data) {
  std::error_code ignored;
  const bool is_folder = data.find('/') != std::string::npos || (fs::is_directory(data, ignored) && fs::exists(data, ignored));
  recipe.data.name = is_folder ? "folder" : data;
  recipe.data.folder = is_folder ? data : "";
}

void show(const ProxyProgress& p) {
  const std::string place = fmt::format("rung {}/{}  {}  {} epoch{}", p.rung, p.rungs, p.name, p.epochs, p.epochs == 1 ? "" : "s");
  if (!p.finished) return Console::note(fmt::format("{}  training ({} of {} done)", place, p.done, p.trainings));
  Console::note(fmt::format("{}  top-1 {}{}", place, std::isfinite(p.top1) ? fmt::format("{:.2f} %", 100 * p.top1) : "none", p.found ? "  (trained already)" : ""));
}

// Trains or collects; true when nothing is left to do.
bool train(ProxyPlan& plan, const ParetoOptions& options) {
  try {
    return plan.advance(options.collect ? TrainRecipe() : proxy_trainer(), show);
  } catch (const Interrupted& stop) {
    throw Interrupted(stop.where(), stop.message(), "the same command goes on from there");
  }
}

void print(const Console& console, const FrontReport& report, const FrontFolder& folder) {
  console.print(front_table(report));
  console.print(fmt::format("{} networks, each the best for at least one of {} mixes of budgets, in {:.0f} ms", report.candidates.size(), report.combinations, report.ms));
  console.print(fmt::format("picture       {}\nfor programs  {}, {}\nrecipes       {}, listed in {}; all of them through a scheduler:\n{}",
                            (folder.path() / "front.html").string(), (folder.path() / "front.csv").string(), (folder.path() / "front.json").string(),
                            (folder.path() / "recipes").string(), folder.recipe_list().string(),
                            scheduler_lines("run", folder.recipe_list(), folder.runs(), report.candidates.size())));
}

}  // namespace

void add_pareto_options(CLI::App& verb, ParetoOptions& o) {
  const std::string group = "A front of networks";
  CLI::Option* pareto = verb.add_flag("--pareto", o.pareto, "The best network for every mix of smaller budgets too: a folder (--output, default pareto/)\n"
                                                            "with a picture, a table, CSV, JSON and a recipe a network");
  verb.add_option("--points", o.points, "Budgets an axis (RAM, flash, MACs), at equal ratios; default 4")->check(CLI::Range(1, 16))->type_name("N")->needs(pareto);
  CLI::Option* proxy = verb.add_option("--proxy-train", o.proxy_train, "Train the networks briefly on this data set or folder of images and rank them by accuracy,\n"
                                                                       "by successive halving")->type_name("DATA")->needs(pareto);
  verb.add_option("--epochs", o.epochs, "Of the longest proxy trainings")->type_name("N")->needs(proxy);
  verb.add_option("--eta", o.eta, "1 in so many goes on to trainings so many times as long; default 2")->type_name("N")->needs(proxy);
  verb.add_flag("--collect", o.collect, "Train nothing: read what schedulers have trained, write the next recipes")->needs(proxy);
  verb.add_flag("--force", o.force, "Replace the front of another request in that folder")->needs(pareto);
  for (const char* name : {"--pareto", "--points", "--proxy-train", "--epochs", "--eta", "--collect", "--force"}) verb.get_option(name)->group(group);
}

void run_pareto(const Console& console, Recipe asking, const DesignRequest& request, const ParetoOptions& options, const std::string& output) {
  if (request.solver != Solver::exact) fail_with_hint("design", "leave --solver out", "a front is solved by the exact search alone");
  const bool proxy = !options.proxy_train.empty();
  if (proxy) set_data(asking, options.proxy_train);
  FrontReport report = make_front_report(design_front(request, options.points), request, options.points,
                                         [&](const Design& design) { return with_design(asking, design, false); });
  FrontFolder folder = FrontFolder::open(output.empty() ? "pareto" : output, report, options.force ? Overwrite::front : Overwrite::no);
  if (!options.force) folder.recall(report);
  std::optional<ProxyPlan> plan;
  if (proxy) {
    plan.emplace(folder, report, ProxyOptions{.epochs = options.epochs, .eta = options.eta});
    if (!options.collect) check_proxy(plan->recipe(report.candidates.front(), report.rungs.front().epochs));
  }
  for (const std::string& file : folder.write(report)) Console::note(file + " was changed by hand: left as it is (remove it to have it written anew)");
  const bool complete = !plan || train(*plan, options);
  print(console, report, folder);
  nlohmann::json json = to_json(report);
  json["folder"] = folder.path().string();
  json["complete"] = complete;
  if (!complete) {
    console.print(fmt::format("{} trainings wait, listed in {}:\n{}\nthen the same command again", plan->pending().size(), plan->list().string(),
                              scheduler_lines("train", plan->list(), folder.runs(), plan->pending().size())));
    json["pending"] = nlohmann::json::array();
    for (const fs::path& file : plan->pending()) json["pending"].push_back(file.string());
  }
  console.result(json);
}

}  // namespace micromind
