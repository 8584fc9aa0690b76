// EfficientNets: Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019
// (arXiv 1905.11946), and its compound scaling, here also downwards, to microcontrollers.
//
//   const Graph b0 = efficientnet();
//   const Graph small = efficientnet(compound_scaled({.num_classes = 10}, -6));
#pragma once

#include <span>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct EfficientNetOptions {
  Shape input{3, 224, 224};  ///< key "input_shape"
  double width = 1;          ///< multiplier of all channel counts: the nearest multiple of `divisor`, never 10 % less
  double depth = 1;          ///< multiplier of each stage's blocks, rounded up; up to 20
  bool include_top = true;
  int num_classes = 1000;
  int divisor = 8;
  double dropout = 0.2;      ///< of the features in front of the classifier; [0, 1), 0: none

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("width", self.width);
    visit("depth", self.depth);
    visit("include_top", self.include_top);
    visit("num_classes", self.num_classes);
    visit("divisor", self.divisor);
    visit("dropout", self.dropout);
  }
};

/// The paper's table 1 (B0): stem, seven stages of inverted residuals with 3×3 or 5×5 depthwise convolutions and
/// squeeze-and-excite (a quarter of the block's input channels, biased, SiLU), the last 1×1 convolution; SiLU, SAME
/// padding, batch norm with eps 1e-3 as in the released code (github.com/tensorflow/tpu, models/official/efficientnet,
/// whose round_filters and round_repeats are the rounding here). Stochastic depth, which only trains, is left out.
/// Input "image"; output "logits" with include_top, else "features".
/// Nodes: stem.*, blocks.<i>.{expand,depthwise,squeeze,project}.*, blocks.<i>.add, last.*, head.*, classifier.
/// Throws Error "[efficientnet] …" on values out of range.
Graph efficientnet(const EfficientNetOptions& options = {});

/// The channel counts that width and divisor come to, in the order of the network: stem; then for each block
/// expanded (not in the first stage, which does not expand), squeezed, out; last. depth decides how many there are.
std::vector<int> efficientnet_widths(const EfficientNetOptions& options);

/// The same structure with any channel counts, in the order of efficientnet_widths; width and divisor have no say. The
/// input is added where a block of stride 1 has as many channels out as in.
/// efficientnet(o) is efficientnet_with_widths(o, efficientnet_widths(o)). Throws Error also on a wrong number of
/// widths or one below 1.
Graph efficientnet_with_widths(const EfficientNetOptions& options, std::span<const int> widths);

/// Compound scaling, the paper's equation 3: depth 1.2^φ, width 1.1^φ and resolution 1.15^φ times those of `base`, so
/// that operations grow by (1.2·1.1²·1.15²)^φ ≈ 2^φ. φ may be a fraction, and negative; −40 to 40. Height and width are
/// rounded to the nearest multiple of 8, at least 8; with φ = 0 they stay. The published B1 to B7 follow the rule only
/// roughly (B1: depth 1.1, width 1, 240 pixels): they are efficientnet() with their own multipliers.
/// Throws Error when φ is out of range.
EfficientNetOptions compound_scaled(const EfficientNetOptions& base, double phi);

}  // namespace micromind
