// micromind design --pareto: options and work, beside design.cpp.
#pragma once

#include <string>

#include "micromind/cli/console.h"
#include "micromind/run/recipe.h"
#include "micromind/scaling/design.h"

namespace CLI {
class App;
}

namespace micromind {

struct ParetoOptions {
  bool pareto = false;
  int points = 4;               ///< budgets an axis
  std::string proxy_train;      ///< data set or folder; empty: no training
  std::int64_t epochs = 0;
  int eta = 2;
  bool collect = false, force = false;
};

void add_pareto_options(CLI::App& verb, ParetoOptions& options);

/// `asking`: the recipe with [design] that the points' recipes come from; `output`: the folder, "" for pareto/.
void run_pareto(const Console& console, Recipe asking, const DesignRequest& request, const ParetoOptions& options, const std::string& output);

}  // namespace micromind
