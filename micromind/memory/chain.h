// The least memory of a chain of blocks: each lives together with the one before and the one behind it, and with no other.
// Private to the planner.
//
// Block i + 1 lies at least lag below block i, or wholly above it: o' ≤ o − lag or o' ≥ o + bytes. In M bytes, the offsets that
// block i can have, given all before it, are those up to some h and those from some l on; of the next one's, then, those up to
// max − lag and those from min + bytes on. So the least and the greatest offset of each block tell whether the chain fits:
// a pass over the chain, and a binary search for M.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace micromind {

struct ChainLink {
  std::int64_t bytes = 0;
  std::int64_t lag = 0;  ///< below the block before; `bytes` where they may not overlap
  std::int64_t low = 0, high = 0;  ///< of the last fitting pass: least and greatest offset
};

/// Whether the chain fits into `room` bytes; sets low and high.
bool chain_fits(std::vector<ChainLink>& chain, std::int64_t room);

/// The least room, a multiple of `alignment` as all bytes and lags, at least `bound`; low and high are for it.
std::int64_t chain_minimum(std::vector<ChainLink>& chain, std::int64_t bound, std::int64_t alignment);

/// Offsets of a chain that fits, from low and high.
std::vector<std::int64_t> chain_offsets(const std::vector<ChainLink>& chain);

}  // namespace micromind
