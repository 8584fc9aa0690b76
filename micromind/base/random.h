// Counter-based random numbers: a value depends on the seed and on where it is used, never on who drew before.
//
//   Random random(seed, {kAugment, epoch, sample});   // any number of threads, any order, the same numbers
//   if (random.uniform() < 0.5f) flip();
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>

namespace micromind {

/// One Philox4x32-10 block: four 32-bit words from a 128-bit counter and a 64-bit key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

class Random {
 public:
  /// A stream of its own for every (seed, path). The path names the use: {purpose, epoch, index, …}.
  explicit Random(std::uint64_t seed, std::initializer_list<std::uint64_t> path = {});

  std::uint32_t next();               ///< 32 uniform bits
  float uniform();                    ///< in [0, 1), 24 bits
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  float normal();                     ///< mean 0, deviation 1 (Box-Muller)
  std::uint32_t below(std::uint32_t n);  ///< in [0, n), unbiased; n ≥ 1

  /// Fisher-Yates.
  template <class T>
  void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  unsigned used_ = 4;
};

}  // namespace micromind
