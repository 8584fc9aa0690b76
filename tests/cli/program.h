// The program as a process, for the tests of the command line.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "micromind/base/process.h"

namespace micromind {

inline ProcessResult micromind(std::vector<std::string> arguments, const std::filesystem::path& folder = {}) {
  arguments.insert(arguments.begin(), MICROMIND_BINARY);
  return run_process(arguments, {.folder = folder, .timeout_s = 500});
}

// Standard output must be one JSON object and nothing else.
inline nlohmann::json json_of(const ProcessResult& result) {
  const nlohmann::json object = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_TRUE(object.is_object()) << result.out << result.err;
  EXPECT_EQ(result.exit_status, 0) << result.err;
  return object.is_object() ? object : nlohmann::json::object();
}

}  // namespace micromind
