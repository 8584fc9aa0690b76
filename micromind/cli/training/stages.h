// What the verbs that run stages share.
#pragma once

#include "micromind/cli/console.h"
#include "micromind/cli/progress.h"
#include "micromind/run/run_folder.h"
#include "micromind/tasks/pipeline.h"
#include "micromind/train/distributed/ranks.h"

namespace micromind {

/// Options of `run` and `train`.
struct RunOptions {
  std::string recipe, output;
  std::vector<std::string> set;
  bool resume = false, force = false;
  std::string device, data;
};

void add_run_options(CLI::App& verb, RunOptions& options);

/// The folder that a recipe runs in, new or resumed, with its network; says which. `recipe` may be a run folder. Whatever
/// can be found wrong with the recipe, its data and its network, and with `goal` deploy with the tools that the chip needs,
/// is found before a folder is made or an earlier run replaced.
RunFolder open_or_create(const RunOptions& options, Goal goal, const StageHooks& hooks);

/// The processes that a launcher started this one among, met; nothing where it is alone.
std::unique_ptr<Ranks> meet_ranks(const RunOptions& options);

/// What `run` and `train` do on every rank but the first.
void train_share(const RunOptions& options, Ranks& ranks);

/// Notes and training progress on standard error.
class StageOutput {
 public:
  StageHooks hooks(Ranks* ranks = nullptr);

 private:
  ProgressPrinter progress_;
};

/// "float 93.12 %   int8 92.87 % (−0.25 points)   on 1,000 test images"
std::string accuracy_text(const nlohmann::json& evaluate);

}  // namespace micromind
