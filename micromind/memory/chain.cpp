#include "micromind/memory/chain.h"

namespace micromind {

bool chain_fits(std::vector<ChainLink>& chain, std::int64_t room) {
  for (std::size_t i = 0; i < chain.size(); ++i) {
    ChainLink& link = chain[i];
    const std::int64_t top = room - link.bytes;
    if (top < 0) return false;
    if (i == 0) {
      link.low = 0;
      link.high = top;
      continue;
    }
    const ChainLink& before = chain[i - 1];
    const std::int64_t below = std::min(before.high - link.lag, top), above = before.low + before.bytes;
    if (below < 0 && above > top) return false;
    link.low = below >= 0 ? 0 : above;
    link.high = above <= top ? top : below;
  }
  return true;
}

std::int64_t chain_minimum(std::vector<ChainLink>& chain, std::int64_t bound, std::int64_t alignment) {
  std::int64_t enough = bound, too_little = bound - alignment;
  if (!chain_fits(chain, bound)) {
    too_little = bound;
    for (std::size_t i = 0; i < chain.size(); ++i) enough = std::max(enough, chain[i].bytes + (i > 0 ? chain[i - 1].bytes : 0));
  }
  enough += (alignment - (enough - too_little) % alignment) % alignment;
  while (enough - too_little > alignment) {
    const std::int64_t middle = too_little + (enough - too_little) / alignment / 2 * alignment;
    (chain_fits(chain, middle) ? enough : too_little) = middle;
  }
  chain_fits(chain, enough);
  return enough;
}

std::vector<std::int64_t> chain_offsets(const std::vector<ChainLink>& chain) {
  std::vector<std::int64_t> offsets(chain.size());
  if (chain.empty()) return offsets;
  offsets.back() = chain.back().low;
  for (std::size_t i = chain.size() - 1; i-- > 0;)  // wholly below the next one, or else as high as can be
    offsets[i] = offsets[i + 1] >= chain[i].low + chain[i].bytes ? chain[i].low : chain[i].high;
  return offsets;
}

}  // namespace micromind
