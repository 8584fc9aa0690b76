#include "micromind/train/run_log.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "micromind/base/file.h"

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

}  // namespace micromind
