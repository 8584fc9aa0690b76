// Mixup and CutMix: every image of a batch is mixed with another one of the same batch, and so is its label.
//
//   MixPlan plan;
//   plan_mix({.cutmix = 1}, batch_size, 32, 32, random, plan);   // who with whom, how much, where
//
// Mixup (Zhang, Cisse, Dauphin and Lopez-Paz, ICLR 2018): x = λ·x₁ + (1 − λ)·x₂. CutMix (Yun et al., ICCV 2019): a
// rectangle of x₁ of (1 − λ) of the area becomes that of x₂. λ ~ Beta(α, α), drawn for every image; the target is
// λ of the first label and 1 − λ of the second one, in CutMix with the λ of the area that was really covered.
#pragma once

#include <cstdint>
#include <vector>

#include "micromind/base/random.h"

namespace micromind {

struct MixOptions {
  double mixup = 0;        ///< α; 0: off
  double cutmix = 0;       ///< α; 0: off. Both: one of the two a batch, by the toss of a coin
  double probability = 1;  ///< share of the batches that are mixed
  bool any() const { return (mixup > 0 || cutmix > 0) && probability > 0; }
  void validate() const;  ///< throws Error naming the option that is out of range
};

struct Box {
  int top = 0, left = 0, height = 0, width = 0;
};

struct MixPlan {
  bool cut = false;                    ///< CutMix; else mixup
  std::vector<std::uint32_t> partner;  ///< [N]: positions in the batch; never itself, each position once
  std::vector<float> weight;           ///< [N]: share of the image itself, in [0, 1]
  std::vector<Box> box;                ///< [N], CutMix: what the partner covers; may be empty
};

/// Throws nothing. `size` ≥ 2 images of one shape.
void plan_mix(const MixOptions& options, std::int64_t size, int height, int width, Random& random, MixPlan& plan);

/// Beta(α, α) for α > 0, from two gamma variates (Marsaglia and Tsang, "A simple method for generating gamma
/// variables", 2000), in logarithms, as both underflow for a small α.
double symmetric_beta(double alpha, Random& random);

}  // namespace micromind
