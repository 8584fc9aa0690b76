// Files that the binary carries: runtime kernels, boards, recipes, page templates (see cmake/resources.cmake).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace micromind {

struct CarriedFile {
  std::string_view name;  ///< path from the repository's root: "runtime/kernels/conv2d_s8.h"
  std::string_view content;
};

const std::vector<CarriedFile>& resources();

/// The content of the named file. Throws Error when the binary carries no such file.
std::string_view resource(std::string_view name);

/// Names of the carried files in a folder, without folder and extension, sorted: ("targets/", ".toml") → "stm32h743", …
std::vector<std::string> resource_stems(std::string_view folder, std::string_view extension);

}  // namespace micromind
