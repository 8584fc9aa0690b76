// What the tests of emulated guests share: building tests/deploy/guests/<name> and the skip where a tool is
// absent.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "micromind/base/error.h"
#include "micromind/base/process.h"
#include "micromind/deploy/cross.h"
#include "micromind/deploy/emulator.h"
#include "error_of.h"
#include "tools.h"

namespace micromind {

inline std::filesystem::path guest(const std::string& name) {
  return std::filesystem::path(MICROMIND_SOURCE_DIR) / "tests/deploy/guests" / name;
}

}  // namespace micromind
