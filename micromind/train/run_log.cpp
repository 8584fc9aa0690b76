#include "micromind/train/run_log.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "micromind/base/file.h"
#include "micromind/metrics/metric.h"

namespace micromind {

std::vector<nlohmann::json> read_log(const std::filesystem::path& file) {
  std::vector<nlohmann::json> lines;
  if (!std::filesystem::exists(file)) return lines;
  std::istringstream text(read_text(file));
  for (std::string line; std::getline(text, line);)
    if (nlohmann::json json = nlohmann::json::parse(line, nullptr, false); json.is_object()) lines.push_back(std::move(json));
  return lines;
}

RunLog::RunLog(std::filesystem::path file, std::int64_t last_step) : file_(std::move(file)) {
  std::string kept;
  if (last_step > 0)
    for (const nlohmann::json& line : read_log(file_)) {
      const auto step = line.find("step");
      if (step != line.end() && step->is_number_integer() && *step <= last_step) kept += line.dump() + '\n';
    }
  write_atomic(file_, std::string_view(kept));
}

void RunLog::add(const nlohmann::json& line) { append_line(file_, line.dump()); }

LogWriter::LogWriter(std::filesystem::path folder, std::int64_t every_steps, bool resume)
    : folder_(std::move(folder)), every_(every_steps), resume_(resume) {}

void LogWriter::on_start(TrainEvent& event) {
  std::error_code ignored;
  const std::int64_t step = event.progress.step;
  if (!resume_)
    for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored))
      if (entry.path().filename().string().starts_with("events.out.tfevents.")) std::filesystem::remove(entry.path(), ignored);
  log_.emplace(folder_ / "log.jsonl", step);
  events_.emplace(folder_, resume_ && step > 0 ? step + 1 : 0);
}

void LogWriter::on_step(TrainEvent& event) {
  const TrainProgress& p = event.progress;
  if (p.step % every_ != 0) return;
  log_->add({{"kind", "step"}, {"step", p.step}, {"epoch", p.epoch}, {"loss", event.step_loss}, {"learning_rate", p.learning_rate},
             {"gradient_norm", event.gradient_norm}, {"images_per_second", p.images_per_second}});
  events_->add(p.step, {{"train/loss", event.step_loss}, {"train/learning_rate", p.learning_rate},
                        {"train/gradient_norm", event.gradient_norm}, {"train/images_per_second", p.images_per_second}});
}

void LogWriter::on_validation(TrainEvent& event) {
  const TrainProgress& p = event.progress;
  EventFile::Scalars scalars;
  for (const auto& [name, value] : with_stage(Stage::validation, p.metrics)) scalars.emplace_back(name, value);
  events_->add(p.step, scalars);
  if (!p.epoch_ended)  // else the epoch's line holds it
    log_->add({{"kind", "validation"}, {"step", p.step}, {"epoch", p.epoch}, {"validation", p.metrics}, {"best", p.best}});
}

void LogWriter::on_epoch(TrainEvent& event) {
  const TrainProgress& p = event.progress;
  nlohmann::json line = {{"kind", "epoch"}, {"step", p.step}, {"epoch", p.epoch}, {"loss", p.loss}, {"learning_rate", p.learning_rate},
                         {"images_per_second", p.images_per_second}, {"seconds", event.seconds},
                         {"waited_seconds", event.waited_seconds}};
  if (event.damaged_images > 0) line["damaged_images"] = event.damaged_images;
  if (!p.train_metrics.empty()) line["train"] = p.train_metrics;
  if (!p.metrics.empty()) {
    line["validation"] = p.metrics;
    line["best"] = p.best;
  }
  log_->add(line);
  EventFile::Scalars scalars = {{"epoch/loss", p.loss}, {"epoch/images_per_second", p.images_per_second}};
  for (const auto& [name, value] : with_stage(Stage::train, p.train_metrics)) scalars.emplace_back(name, value);
  events_->add(p.step, scalars);
}

}  // namespace micromind
