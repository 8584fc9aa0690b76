#include "micromind/train/best_checkpoints.h"

#include <algorithm>
#include <set>

#include "micromind/base/error.h"
#include "micromind/formats/checkpoint.h"

namespace micromind {

std::filesystem::path BestCheckpoints::of_step(std::int64_t step) const { return options_.folder / fmt::format("best-step-{}.pt", step); }

void BestCheckpoints::remove_others() const {
  std::set<std::filesystem::path> wanted;
  if (!kept_.empty()) wanted.insert(best());
  if (options_.keep > 1)
    for (const Kept& k : kept_) wanted.insert(of_step(k.step));
  std::error_code ignored;
  std::vector<std::filesystem::path> others;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, ignored)) {
    const std::string file = entry.path().filename().string();
    const bool ours = file == "best.pt" || (file.starts_with("best-step-") && file.ends_with(".pt"));
    if (ours && !wanted.contains(entry.path())) others.push_back(entry.path());
  }
  for (const auto& path : others) std::filesystem::remove(path, ignored);
}

void BestCheckpoints::on_start(TrainEvent&) {
  std::error_code ignored;
  if (!kept_.empty() && !std::filesystem::exists(best(), ignored))
    fail_with_hint("checkpoint", "put it back, or train anew with --force", "{} is missing, and the weights of epoch {} with it", best().string(),
                   kept_.front().epoch);
  remove_others();
}

void BestCheckpoints::on_validation(TrainEvent& event) {
  const Kept now{event.progress.step, event.progress.epoch, event.progress.metrics.at(options_.metric)};
  const auto place = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& k) {
    return options_.higher_is_better ? now.value > k.value : now.value < k.value;
  });
  if (place - kept_.begin() >= options_.keep) return;
  const bool is_best = place == kept_.begin();
  kept_.insert(place, now);
  if (static_cast<std::int64_t>(kept_.size()) > options_.keep) kept_.pop_back();
  if (options_.keep > 1) write_checkpoint(of_step(now.step), {.weights = event.weights()});
  if (is_best) write_checkpoint(best(), {.weights = event.weights()});
  remove_others();
}

void BestCheckpoints::on_epoch(TrainEvent& event) {
  if (options_.validates) return;
  kept_ = {{event.progress.step, event.progress.epoch, 0}};
  write_checkpoint(best(), {.weights = event.weights()});
}

nlohmann::json BestCheckpoints::state() const {
  nlohmann::json list = nlohmann::json::array();
  for (const Kept& k : kept_) list.push_back({{"step", k.step}, {"epoch", k.epoch}, {"value", k.value}});
  return list;
}

void BestCheckpoints::load_state(const nlohmann::json& state) {
  kept_.clear();
  for (const nlohmann::json& k : state)
    kept_.push_back({k.at("step").get<std::int64_t>(), k.at("epoch").get<std::int64_t>(), k.at("value").get<double>()});
  if (static_cast<std::int64_t>(kept_.size()) > options_.keep) kept_.resize(static_cast<std::size_t>(options_.keep));
}

}  // namespace micromind
