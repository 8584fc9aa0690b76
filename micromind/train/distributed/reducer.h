// The gradients of all ranks, averaged while the backward pass still runs: parameters are cut into buckets from the network's end,
// where gradients come first, and a bucket's sum begins as soon as its last gradient is there (Li et al., "PyTorch Distributed:
// Experiences on accelerating data parallel training", VLDB 2020, section 3.2). Buckets begin in a fixed order on every rank.
//
//   GradientReducer reducer(ranks, parameters);
//   reducer.expect();                       // before the backward pass whose gradients complete a step
//   loss.backward();
//   reducer.finish();                       // gradients are now the mean over the ranks
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace at {
class Tensor;
}

namespace micromind {

class Ranks;

class GradientReducer {
 public:
  static constexpr std::size_t kNotes = 3;
  /// Hooks the parameters' gradients until it is destroyed.
  GradientReducer(Ranks& ranks, const std::vector<std::pair<std::string, at::Tensor>>& parameters, std::int64_t bucket_bytes = 1 << 20);
  ~GradientReducer();

  void expect();
  /// Throws RankLost; gradients are then as they came. A parameter without a gradient counts as zeros. A few numbers travel with the
  /// gradients: returns their sums over the ranks.
  std::array<double, kNotes> finish(const std::array<double, kNotes>& notes = {});

  std::size_t buckets() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // the hooks hold on to it
};

}  // namespace micromind
