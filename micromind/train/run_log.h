// log.jsonl: one JSON object a line, {"kind": "step" | "epoch", "step": …, …}; see Trainer for the keys.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace micromind {

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

}  // namespace micromind
