// Several RAM banks: which tensors lie in which, when one bank does not hold the arena. A tensor never straddles banks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace micromind {

/// Memory that must lie in one piece while the steps first … last run, inclusive.
struct BankBlock {
  std::int64_t bytes = 0;
  int first = 0, last = 0;
};

/// The bank of every block, banks in order of preference: what does not fit into one moves on to the next with room
/// for it. `arena(subset)` says what a bank needs for these blocks. Nothing when no tried assignment fits; deterministic.
std::optional<std::vector<int>> assign_banks(const std::vector<BankBlock>& blocks, std::span<const std::int64_t> rooms,
                                             const std::function<std::int64_t(const std::vector<int>& subset)>& arena);

}  // namespace micromind
