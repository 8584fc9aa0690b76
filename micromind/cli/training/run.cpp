// micromind run | train: from a recipe to a run folder.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "micromind/cli/deployment_text.h"
#include "micromind/cli/training/stages.h"
#include "micromind/cli/verbs.h"
#include "micromind/run/report.h"

namespace micromind {
namespace {

void run_all(Console& console, const RunOptions& options) {
  const std::unique_ptr<Ranks> ranks = meet_ranks(options);
  if (ranks && !ranks->first()) return train_share(options, *ranks);
  StageOutput output;
  const StageHooks hooks = output.hooks(ranks.get());
  RunFolder run = open_or_create(options, Goal::deploy, hooks);
  const nlohmann::json all = run_recipe(run, options.resume, hooks);
  const Deployment deployment = deployment_from_json(all.at("deploy"));
  console.print(accuracy_text(all.at("evaluate")));
  console.print(deployment_text(deployment, false));
  console.print(fmt::format("report        {}", run.report_file().string()));
  console.result(all);
  if (deployment.outputs_identical != deployment.outputs_compared) console.exit_status = 1;
}

void train_only(const Console& console, const RunOptions& options) {
  const std::unique_ptr<Ranks> ranks = meet_ranks(options);
  if (ranks && !ranks->first()) return train_share(options, *ranks);
  StageOutput output;
  const StageHooks hooks = output.hooks(ranks.get());
  RunFolder run = open_or_create(options, Goal::train, hooks);
  std::error_code ignored;
  nlohmann::json result = options.resume && std::filesystem::exists(run.checkpoints() / "best.pt", ignored) ? run.result("train") : nlohmann::json();
  if (result.is_null()) result = stage_train(run, options.resume, hooks);
  else {
    Console::note("train: done already");  // training nothing must not make the later stages void
    tell_ranks(ranks.get(), false);
  }
  result["folder"] = run.path().string();
  const auto top1 = result["top1"].is_number() ? fmt::format("validation top-1 {:.2f} % (epoch {})", 100 * result["top1"].get<double>(), result["best_epoch"].dump())
                                               : std::string("done");
  console.print(fmt::format("{}   {}\nnext: micromind quantize {}", top1, run.path().string(), run.path().string()));
  console.result(result);
}

}  // namespace

void add_run(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "run", "Run a recipe: train, quantise, export, deploy, prove, report",
                            "Everything that a recipe describes, in one run folder: the network is built and checked against the target, trained,\n"
                            "quantised, evaluated as float and int8, exported, emitted as C, run on the emulated chip and compared byte by byte.\n"
                            "It ends with report.html. The same as the single verbs one after another.",
                            {{"The demonstration, a few minutes", "micromind run demo"},
                             {"The same network on photographs", "micromind run demo --data cifar10"},
                             {"A recipe with changes, then on after Ctrl-C", "micromind run recipes/cifar10-phinet.toml --set train.epochs=20\n  micromind run runs/cifar10-phinet --resume"}});
  const auto options = std::make_shared<RunOptions>();
  add_run_options(*verb, *options);
  verb->callback([&console, options] { run_all(console, *options); });
}

void add_train(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "train", "Train a recipe's network",
                            "Leaves checkpoints (Python's torch.load reads them), log.jsonl and TensorBoard events in the run folder. A stopped run\n"
                            "resumes to the same weights, byte for byte.",
                            {{"Train", "micromind train recipes/cifar10-phinet.toml"}, {"Go on after Ctrl-C", "micromind train runs/cifar10-phinet --resume"}});
  const auto options = std::make_shared<RunOptions>();
  add_run_options(*verb, *options);
  verb->callback([&console, options] { train_only(console, *options); });
}

}  // namespace micromind
