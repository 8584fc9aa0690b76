// The log of a run, as a callback: log.jsonl and TensorBoard's event file. trainer.h has the keys of the lines.
#pragma once

#include <filesystem>
#include <optional>

#include "micromind/train/callback.h"
#include "micromind/train/event_file.h"

namespace micromind {

/// log.jsonl: one JSON object a line, {"kind": …, "step": …, …}.
class RunLog {
 public:
  /// Keeps the lines up to and including `last_step` and drops the later ones (a run that died after its last
  /// checkpoint will write them again), and any line that was cut short. 0 empties the file.
  RunLog(std::filesystem::path file, std::int64_t last_step);
  void add(const nlohmann::json& line);

 private:
  std::filesystem::path file_;
};

/// The lines of a log in order. Lines that are not JSON objects (cut short) are left out; an absent file is empty.
std::vector<nlohmann::json> read_log(const std::filesystem::path& file);

/// Writes both in the run folder; those of an earlier run are removed unless this one resumes.
class LogWriter : public TrainCallback {
 public:
  LogWriter(std::filesystem::path folder, std::int64_t every_steps, bool resume);
  void on_start(TrainEvent& event) override;
  void on_step(TrainEvent& event) override;
  void on_validation(TrainEvent& event) override;
  void on_epoch(TrainEvent& event) override;

 private:
  std::filesystem::path folder_;
  std::int64_t every_;
  bool resume_;
  std::optional<RunLog> log_;
  std::optional<EventFile> events_;
};

}  // namespace micromind
