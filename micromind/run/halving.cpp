#include "micromind/run/halving.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"

namespace micromind {

std::vector<Rung> halving_schedule(int candidates, std::int64_t epochs, int eta) {
  if (candidates < 1) fail("proxy", "{} candidates: expected at least one", candidates);
  if (epochs < 1 || epochs > 1'000'000) fail("proxy", "{} epochs: expected 1 to 1,000,000", epochs);
  if (eta < 2 || eta > 100) fail("proxy", "{}: 1 in so many goes on to the next rung, expected 2 to 100", eta);
  std::vector<std::int64_t> powers = {1};  // of eta
  while (powers.back() * eta <= std::min<std::int64_t>(candidates, epochs)) powers.push_back(powers.back() * eta);
  std::vector<Rung> rungs;
  for (std::size_t i = 0; i < powers.size(); ++i) {
    const std::int64_t share = powers[powers.size() - 1 - i];
    rungs.push_back({(epochs + share / 2) / share, static_cast<int>((candidates + powers[i] - 1) / powers[i])});
  }
  return rungs;
}

std::vector<int> best_first(std::span<const RungScore> scores) {
  std::vector<RungScore> sorted(scores.begin(), scores.end());
  const auto value = [](const RungScore& s) { return std::isnan(s.score) ? -INFINITY : s.score; };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const RungScore& a, const RungScore& b) { return value(a) != value(b) ? value(a) > value(b) : a.macs < b.macs; });
  std::vector<int> candidates;
  for (const RungScore& s : sorted) candidates.push_back(s.candidate);
  return candidates;
}

}  // namespace micromind
