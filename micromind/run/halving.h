// Successive halving: many candidates trained briefly, the better ones again for longer (Jamieson & Talwalkar 2016,
// "Non-stochastic best arm identification and hyperparameter optimization", algorithm 1).
//
// Rung i trains ⌈n/ηⁱ⌉ candidates for about K/ηˢ⁻ⁱ epochs, i = 0 … s; the best of a rung go on. s is the largest for which
// the first rung still has one epoch and the last one still a candidate. Each training starts anew instead of going on from
// the rung before: its learning rate takes its full course, accuracies of one rung are of equals, and it is a recipe of its
// own that any machine can run without the others' files. That costs at most η/(η − 1) times as many epochs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace micromind {

struct Rung {
  std::int64_t epochs = 0;
  int candidates = 0;
  bool operator==(const Rung&) const = default;
};

/// Ascending in epochs; the last rung has `epochs`. Throws Error unless candidates ≥ 1, 1 ≤ epochs ≤ 1,000,000, 2 ≤ eta ≤ 100.
std::vector<Rung> halving_schedule(int candidates, std::int64_t epochs, int eta = 2);

/// One candidate's result in a rung.
struct RungScore {
  int candidate = 0;
  double score = 0;  ///< the more the better; NaN: it has none and comes last
  double macs = 0;   ///< among equal scores the cheaper one is better
};
/// The candidates, best first.
std::vector<int> best_first(std::span<const RungScore> scores);

}  // namespace micromind
