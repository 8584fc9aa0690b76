// What the two halves of bench_scaling share.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "micromind/base/random.h"

namespace micromind {

inline double log_uniform(Random& random, double low, double high) {
  return low * std::pow(high / low, random.uniform());
}

/// Share of each budget used by our scaling and by coupled scaling, as a Markdown table on standard output;
/// the plot into `svg_file` where that is not empty.
nlohmann::json print_fill(const std::string& svg_file);

}  // namespace micromind
