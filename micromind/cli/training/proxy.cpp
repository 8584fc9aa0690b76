// The trainings of micromind design --pareto --proxy-train.
#include <unistd.h>

#include <memory>

#include "micromind/cli/training/stages.h"
#include "micromind/cli/verbs.h"

namespace micromind {

TrainRecipe proxy_trainer() {
  return [](const Recipe& recipe, const std::filesystem::path& run) {
    ProgressPrinter progress;
    StageHooks hooks;
    if (isatty(STDERR_FILENO) != 0) hooks.train = [&](const TrainProgress& p) { progress(p); };
    train_recipe(recipe, run, hooks);
  };
}

void check_proxy(const Recipe& recipe) { prepare_network(recipe, Goal::train); }

}  // namespace micromind
