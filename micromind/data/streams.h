// The purposes that this room draws random numbers for: the first step of every Random path, so that no two
// uses share a stream.
#pragma once

#include <cstdint>

namespace micromind {

enum DataStream : std::uint64_t {
  kHoldOutStream = 0x6461746101,  // "data", then a number
  kLimitStream,
  kOrderStream,
  kAugmentStream,
  kGlyphStream,
  kMixStream,
  kReplaceStream,
};

}  // namespace micromind
