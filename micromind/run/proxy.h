// Proxy trainings: the networks of a front, trained briefly and ranked by accuracy (run/halving.h).
//
//   ProxyPlan plan(folder, report, {.epochs = 4});
//   plan.advance(train);                // all rungs on this computer
//   plan.advance(nullptr);              // or: only read what others have trained, and write the next rung's recipes
//
// Every training is a recipe of its own, proxy/NAME-eK.toml, and a run folder, runs/NAME-eK, made by whoever trains it:
// this program, or `micromind train` under a scheduler. A finished run is never trained again, an unfinished one goes on
// from its last checkpoint. When all trainings of a rung are there, the next rung's recipes are written.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "micromind/run/front.h"

namespace micromind {

struct ProxyOptions {
  std::int64_t epochs = 0;       ///< of the last rung
  int eta = 2;                   ///< 1 in so many goes on
  double validation_share = 0.1; ///< of the training images, held out to rank by, unless the recipes hold out some
};

/// Trains a recipe into a run folder, going on in it when it is there: leaves the result of the stage "train".
using TrainRecipe = std::function<void(const Recipe& recipe, const std::filesystem::path& run)>;

struct ProxyProgress {
  std::size_t rung = 0, rungs = 0;      ///< from 1
  std::size_t done = 0, trainings = 0;  ///< of the rung
  std::int64_t epochs = 0;
  std::string name;                     ///< of the candidate
  bool finished = false;                ///< or about to be trained
  bool found = false;                   ///< finished by an earlier command or a scheduler
  double top1 = 0;
};

class ProxyPlan {
 public:
  /// Sets the report's data, eta and rungs and forgets its scores. Throws Error as halving_schedule() does.
  ProxyPlan(FrontFolder& folder, FrontReport& report, const ProxyOptions& options);

  /// Collects what is trained, trains the rest if `train` is given, and keeps the folder's front.* up to date after every
  /// training. Returns true when all rungs are done, false when recipes wait for a scheduler: see pending(). Throws Error
  /// when a run folder was made with another recipe, and whatever `train` throws: everything stays usable.
  bool advance(const TrainRecipe& train, const std::function<void(const ProxyProgress&)>& note = {});

  /// The recipes of the rung that is not complete, listed in list().
  const std::vector<std::filesystem::path>& pending() const { return pending_; }
  std::filesystem::path list() const { return folder_.proxies() / "pending.txt"; }

  /// The recipe of a candidate's training for so many epochs.
  Recipe recipe(const Candidate& candidate, std::int64_t epochs) const;

 private:
  bool collect(Candidate& candidate, std::int64_t epochs);
  void write_pending(const std::vector<int>& candidates, std::int64_t epochs);

  FrontFolder& folder_;
  FrontReport& report_;
  ProxyOptions options_;
  std::vector<std::filesystem::path> pending_;
};

}  // namespace micromind
