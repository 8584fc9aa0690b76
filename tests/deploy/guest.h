// What the tests of emulated guests share: building tests/deploy/guests/<name> and the skip where a tool is
// absent.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "micromind/base/error.h"
#include "micromind/base/process.h"
#include "micromind/deploy/architecture.h"
#include "micromind/deploy/cross.h"
#include "micromind/deploy/emulator.h"
#include "error_of.h"
#include "tools.h"

namespace micromind {

inline std::filesystem::path guest(const std::string& name) {
  return std::filesystem::path(MICROMIND_SOURCE_DIR) / "tests/deploy/guests" / name;
}

/// "" or which program for the target's core is missing.
inline std::string missing_tool(const Target& target) {
  for (const std::string& program : {architecture_of(target.core).compiler, emulator_program(target.core)})
    if (!find_program(program)) return program + " is not installed";
  return "";
}

}  // namespace micromind

#define SKIP_WITHOUT_TOOLS_FOR(target) \
  if (const std::string missing = missing_tool(target); !missing.empty()) GTEST_SKIP() << missing
