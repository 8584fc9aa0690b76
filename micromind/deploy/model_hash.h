// A fingerprint of an int8 model, so that a board can say which model it holds.
#pragma once

#include <cstdint>

#include "micromind/graph/model.h"

namespace micromind {

/// FNV-1a (64 bits) over the graph's JSON and every weight's name, shape and bytes: equal for the same model whoever
/// read it, another one when a weight, a scale or a layer differs.
std::uint64_t model_hash(const Model& model);

}  // namespace micromind
