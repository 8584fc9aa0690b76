#include "micromind/run/proxy.h"

#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/run/run_folder.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;

std::string training_name(const Candidate& candidate, std::int64_t epochs) { return fmt::format("{}-e{}", candidate.name, epochs); }

// What changes the speed of a training but not what it is.
Recipe without_speed(Recipe recipe) {
  const TrainSection defaults;
  recipe.train.threads = defaults.threads;
  recipe.train.loader_threads = defaults.loader_threads;
  recipe.train.device = defaults.device;
  recipe.train.checkpoint_every_steps = defaults.checkpoint_every_steps;
  recipe.run.name.clear();
  return recipe;
}

}  // namespace

ProxyPlan::ProxyPlan(FrontFolder& folder, FrontReport& report, const ProxyOptions& options) : folder_(folder), report_(report), options_(options) {
  report.rungs = halving_schedule(static_cast<int>(report.candidates.size()), options.epochs, options.eta);
  report.eta = options.eta;
  report.data = report.candidates.front().recipe.data.name;
  for (Candidate& c : report.candidates) c.scores.clear();
}

Recipe ProxyPlan::recipe(const Candidate& candidate, std::int64_t epochs) const {
  Recipe r = candidate.recipe;
  r.run.name = training_name(candidate, epochs);
  r.train.epochs = epochs;
  r.train.warmup_epochs = std::min(r.train.warmup_epochs, static_cast<double>(epochs) / 2);
  if (r.data.validation_share == 0) r.data.validation_share = options_.validation_share;
  return r;
}

// Reads a finished run's accuracy.
bool ProxyPlan::collect(Candidate& candidate, std::int64_t epochs) {
  const fs::path path = folder_.runs() / training_name(candidate, epochs);
  if (!RunFolder::is_run_folder(path)) return false;
  const RunFolder run = RunFolder::open(path);
  if (const std::vector<std::string> list = differences(without_speed(run.recipe()), without_speed(recipe(candidate, epochs))); !list.empty())
    fail_with_hint("proxy", "remove that folder, or choose another --output", "{} was made with another recipe: {}", path.string(), fmt::join(list, "; "));
  const nlohmann::json result = run.result("train");
  if (result.is_null()) return false;
  const auto number = [&](const char* key) { return result.contains(key) && result[key].is_number() ? result[key].get<double>() : NAN; };
  const double seconds = number("seconds");
  candidate.scores.push_back({epochs, number("top1"), std::isfinite(seconds) ? seconds : 0});
  return true;
}

void ProxyPlan::write_pending(const std::vector<int>& candidates, std::int64_t epochs) {
  pending_.clear();
  std::string list;
  for (const int i : candidates) {
    const Recipe r = recipe(report_.candidates[static_cast<std::size_t>(i)], epochs);
    const fs::path file = folder_.proxies() / (r.run.name + ".toml");
    write_atomic(file, to_toml(r, false));
    pending_.push_back(file);
    list += file.string() + "\n";
  }
  write_atomic(this->list(), list);
}

bool ProxyPlan::advance(const TrainRecipe& train, const std::function<void(const ProxyProgress&)>& note) {
  for (Candidate& c : report_.candidates) c.scores.clear();
  const auto tell = [&](const ProxyProgress& progress) {
    if (note) note(progress);
  };
  const auto keep = [&] {
    rank_candidates(report_);
    folder_.write_results(report_);
  };
  std::vector<int> candidates(report_.candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i] = static_cast<int>(i);
  for (std::size_t k = 0; k < report_.rungs.size(); ++k) {
    const Rung& rung = report_.rungs[k];
    ProxyProgress progress{.rung = k + 1, .rungs = report_.rungs.size(), .done = 0, .trainings = candidates.size(), .epochs = rung.epochs};
    std::vector<int> missing;
    for (const int i : candidates) {
      Candidate& c = report_.candidates[static_cast<std::size_t>(i)];
      if (!collect(c, rung.epochs)) {
        missing.push_back(i);
        continue;
      }
      ++progress.done;
      progress.name = c.name;
      progress.finished = progress.found = true;
      progress.top1 = c.scores.back().top1;
      tell(progress);
    }
    write_pending(missing, rung.epochs);
    keep();
    if (!missing.empty() && !train) return false;
    for (const int i : missing) {
      Candidate& c = report_.candidates[static_cast<std::size_t>(i)];
      progress.name = c.name;
      progress.finished = progress.found = false;
      tell(progress);
      const Recipe r = recipe(c, rung.epochs);
      train(r, folder_.runs() / r.run.name);
      if (!collect(c, rung.epochs)) fail("proxy", "{}: its training ended without a result", (folder_.runs() / r.run.name).string());
      ++progress.done;
      progress.finished = true;
      progress.top1 = c.scores.back().top1;
      tell(progress);
      keep();
    }
    write_pending({}, rung.epochs);
    if (k + 1 == report_.rungs.size()) break;
    std::vector<RungScore> scores;
    for (const int i : candidates) {
      const Candidate& c = report_.candidates[static_cast<std::size_t>(i)];
      scores.push_back({i, c.scores.back().top1, c.use(kMacs)});
    }
    candidates = best_first(scores);
    candidates.resize(static_cast<std::size_t>(report_.rungs[k + 1].candidates));
  }
  return true;
}

}  // namespace micromind
