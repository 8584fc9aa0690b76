// Cross-layer equalisation (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
// section 4.1): channels between two layers take ranges of one size, so that one scale serves them all. The float network
// computes what it did.
//
//   FoldedNetwork network = fold_network(graph, weights);
//   const Equalization e = equalize(network);              // then calibrate and quantise `network`
//
// A pair is a convolution or linear layer, whose output one node alone reads, and the next convolution (depthwise included)
// or linear layer behind it, with nothing in between but operators that let a positive factor of a channel through:
//   none or relu      always;
//   relu6             for the channels alone that calibration saw far from the cap, and only as far as they stay there: no
//                     value that was seen is clipped before or after. On other images the function could change where a
//                     channel gets more than twice as large as on any that was seen; without measurements relu6 ends a pair;
//   pooling, zero padding, upsampling, flattening of a 1×1 image.
// h-swish, SiLU, sigmoid and products are not homogeneous: f(s·x) ≠ s·f(x). They end a pair, as additions and concatenations
// do. In a PhiNet with h-swish a pair is a block's projection and the next block's expansion, where there is no shortcut.
//
// Factor of channel i, with r1 the largest magnitude of the first layer's weights and bias into channel i and r2 that of the
// second's weights out of it (equation 11): s = √(r1/r2); the first layer is divided by it, the second multiplied. The bias is
// counted in r1 beside the paper, because weights have a scale a channel here: what suffers is the activation between them.
// Chains conv → depthwise → conv share layers, so the walk over all pairs is repeated until no factor is far from one.
#pragma once

#include <map>
#include <vector>

#include "micromind/quantize/calibration.h"
#include "micromind/quantize/folded_network.h"

namespace micromind {

/// The largest number of each channel of a value over calibration images, by value of the folded graph.
class ChannelMaxima {
 public:
  explicit ChannelMaxima(const Graph& graph);
  void observe(int value, std::span<const float> numbers);  ///< [N, C, H, W]
  const std::vector<float>& of(int value) const;            ///< empty: never seen

 private:
  std::vector<std::size_t> channels_, area_;
  std::vector<std::vector<float>> maxima_;
};

struct Equalization {
  int pairs = 0;       ///< equalised
  int sweeps = 0;
  int relu6_pairs = 0;  ///< of them, with a relu6 in between
  double largest_factor = 1;  ///< of all channels, or its inverse
};

/// Changes the weights of `network`, not its function. `maxima`: for relu6; nullptr leaves pairs with one alone.
Equalization equalize(FoldedNetwork& network, const ChannelMaxima* maxima = nullptr);

}  // namespace micromind
