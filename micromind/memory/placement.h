// Offsets for blocks of memory that live for some steps each, a few of which may overlap. Private to the planner (plan.h).
//
// Two blocks that live at a common step lie one below the other: offset(upper) ≥ offset(lower) + distance. The distance is
// the lower one's size; where the lower one is an output that may lie over its dying input, it is the lag (overlap.h), which is
// less. So all is about who lies below whom; given that, every offset is a longest path.
#pragma once

#include <cstdint>
#include <vector>

namespace micromind {

struct Block {
  std::int64_t bytes = 0, offset = 0;  ///< bytes: a multiple of the alignment
  int first = 0, last = 0;             ///< steps, inclusive
  int over = -1;                       ///< the block that dies where this one is born and that it may overlap, or −1
  int within = -1;                     ///< the block read by rows that this one, written by rows meanwhile, may overlap, or −1
  std::int64_t within_lag = 0;         ///< then offset ≤ offset(within) − within_lag will do; as `lag`
  std::int64_t lag = 0;                ///< of `over`: offset ≤ offset(over) − lag will do; a multiple of the alignment, may be negative

  /// Bytes that this block needs beside `over`, at least.
  std::int64_t beside() const { return over >= 0 && lag < bytes ? (lag > 0 ? lag : 0) : bytes; }
};

struct Placed {
  std::int64_t arena = 0;  ///< end of the highest block
  std::int64_t bound = 0;  ///< no placement does with less
};

/// Sets the offsets. `bound`: a lower bound that is known. A chain (each block meets the one before and the one behind only)
/// is placed at its proven minimum; other graphs by first fit in several orders, repaired, then (where more than 1/512 is
/// missing) `rounds` changes at random, until the bound is reached; with 0 rounds by first fit alone. The bound is that of all chains of blocks, each beside what lives all along it.
Placed place_blocks(std::vector<Block>& blocks, std::int64_t bound, std::int64_t alignment, int rounds);

}  // namespace micromind
