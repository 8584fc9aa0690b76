// The purposes that this room draws random numbers for: the first step of every Random path.
#pragma once

#include <cstdint>

namespace micromind {

enum TrainStream : std::uint64_t {
  kDropoutStream = 0x747261696e02,  // "train", then a number; 1 is graph/initial_weights.cpp's
};

}  // namespace micromind
