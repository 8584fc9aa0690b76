#include "micromind/cli/training/stages.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {

void add_run_options(CLI::App& verb, RunOptions& options) {
  verb.add_option("recipe", options.recipe, "A recipe's name (micromind recipes) or file, or a run folder with --resume")->required()->type_name("RECIPE");
  verb.add_option("--set", options.set, "Change a key of the recipe, as in train.epochs=5; may be repeated (the last one of a key counts)")
      ->type_name("SECTION.KEY=VALUE")
      ->allow_extra_args(false);
  verb.add_option("--data", options.data, "The data set (micromind datasets); the same as --set data.name=…. Its files are looked for in data.folder,\n"
                                          "else below MICROMIND_DATA, ../shared/data or data")
      ->type_name("NAME");
  verb.add_option("--output", options.output, "The run folder; default runs/ and the recipe's name, numbered when that is there")->type_name("DIR");
  verb.add_option("--device", options.device, "Where to train: cpu or cuda; the same as --set train.device=…")->type_name("NAME");
  CLI::Option* resume = verb.add_flag("--resume", options.resume, "Go on where an earlier run of the same recipe stopped");
  verb.add_flag("--force", options.force, "Replace an earlier run in that folder")->excludes(resume);
}

namespace {

// "data.name" and "cifar10" as an override whose value is a text whatever it looks like.
std::string text_override(const char* key, const std::string& value) { return fmt::format("{}={}", key, nlohmann::json(value).dump()); }

std::vector<std::string> all_overrides(const RunOptions& options) {
  std::vector<std::string> overrides = options.set;
  if (!options.device.empty()) overrides.push_back(text_override("train.device", options.device));
  if (!options.data.empty()) overrides.push_back(text_override("data.name", options.data));
  return overrides;
}

// The recipe that these options mean, its network designed; RUN's where they name a run folder.
Recipe recipe_of(const RunOptions& options, const StageHooks& hooks) {
  if (RunFolder::is_run_folder(options.recipe)) return RunFolder::open(options.recipe).recipe();
  return resolve_design(load_recipe(options.recipe, all_overrides(options)), hooks);
}

RunFolder open_for_resume(const RunOptions& options, Goal goal, const StageHooks& hooks) {
  RunFolder run = RunFolder::open(options.recipe);
  if (!run.has_result("network")) stage_network(run, prepare_network(run.recipe(), goal, hooks));
  return run;
}

}  // namespace

RunFolder open_or_create(const RunOptions& options, Goal goal, const StageHooks& hooks) {
  const std::vector<std::string> overrides = all_overrides(options);
  if (RunFolder::is_run_folder(options.recipe)) {
    if (!options.resume)
      fail_with_hint("run", "--resume goes on in it; its recipe is " + options.recipe + "/recipe.toml", "{} is a run folder", options.recipe);
    if (!overrides.empty() || !options.output.empty())
      fail("run", "{}: a resumed run keeps its recipe and its folder; --set, --data, --device and --output do not apply", options.recipe);
    return open_for_resume(options, goal, hooks);
  }
  const Recipe recipe = recipe_of(options, hooks);
  const std::filesystem::path wanted =
      options.output.empty() ? std::filesystem::path("runs") / recipe.run.name : std::filesystem::path(options.output);
  const IfPresent if_present = options.resume            ? IfPresent::resume
                               : options.force           ? IfPresent::replace
                               : options.output.empty() ? IfPresent::numbered
                                                         : IfPresent::fail;
  const std::filesystem::path path = RunFolder::choose(wanted, recipe, if_present);
  if (options.resume && RunFolder::is_run_folder(path)) {
    Console::note("run folder " + path.string());
    return open_for_resume({.recipe = path.string()}, goal, hooks);
  }
  const PreparedNetwork network = prepare_network(recipe, goal, hooks);
  RunFolder run = RunFolder::create(wanted, recipe, if_present);
  Console::note(fmt::format("run folder {}{}", run.path().string(),
                            run.path() == wanted ? "" : fmt::format(" ({} is there already; --resume goes on in it, --force replaces it)", wanted.string())));
  stage_network(run, network);
  return run;
}

std::unique_ptr<Ranks> meet_ranks(const RunOptions& options) {
  const Launch launch = launch_from_environment();
  if (launch.alone()) return nullptr;
  const Recipe recipe = RunFolder::is_run_folder(options.recipe) ? RunFolder::open(options.recipe).recipe() : load_recipe(options.recipe, all_overrides(options));
  if (launch.rank == 0) Console::note(fmt::format("rank 0 of {} ({}) waits for the others at {}:{}", launch.world_size, launch.launcher, launch.address, launch.port));
  return join_ranks(launch, recipe.train.device, recipe.train.rank_timeout);
}

void train_share(const RunOptions& options, Ranks& ranks) { train_share(recipe_of(options, {}), ranks); }

StageHooks StageOutput::hooks(Ranks* ranks) {
  return {.note = [](const std::string& line) { Console::note(line); }, .train = [this](const TrainProgress& p) { progress_(p); }, .ranks = ranks};
}

std::string accuracy_text(const nlohmann::json& e) {
  std::string text = fmt::format("float {:.2f} %", 100 * e.value("top1", 0.0));
  if (e.contains("int8_top1"))
    text += fmt::format("   int8 {:.2f} % ({:+.2f} points)", 100 * e.value("int8_top1", 0.0), 100 * (e.value("int8_top1", 0.0) - e.value("top1", 0.0)));
  if (e.contains("ptq_top1")) text += fmt::format("   int8 before QAT {:.2f} %", 100 * e.value("ptq_top1", 0.0));
  if (!e.contains("int8_top1")) text += "   int8: not quantised yet";
  return text + fmt::format("   top-1 on {} test images", format_count(e.value("samples", std::int64_t{0})));
}

}  // namespace micromind
