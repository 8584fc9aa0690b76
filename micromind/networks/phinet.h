// PhiNets: Paissan, Ancilotto, Farella, "PhiNets: a scalable backbone for low-power AI at the edge", ACM TECS 2022
// (arXiv 2110.00337), as micromind's Python package builds them: the same widths, the same rounding, the same counts.
//
//   const Graph g = phinet({.input = {3, 160, 160}, .alpha = 3, .beta = 0.75, .include_top = true});
#pragma once

#include <span>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct PhiNetOptions {
  Shape input{3, 224, 224};  ///< key "input_shape"
  int num_layers = 7;        ///< N, convolutional blocks; 1 to 64. Fewer than 4 still build blocks 1 to 3
  double alpha = 0.2;        ///< width multiplier: operations
  double beta = 1;           ///< shape: the expansion runs linearly from t_zero to beta·t_zero: flash
  double t_zero = 6;         ///< base expansion: RAM
  bool include_top = false;  ///< mean, linear classifier
  int num_classes = 10;
  bool compatibility = false;  ///< ReLU6 for h-swish and no squeeze-and-excite
  std::vector<int> downsampling_layers = {5, 7};  ///< blocks that halve the image and double the width
  double conv5_percent = 0;    ///< share of the blocks, from the end, whose kernel is 5×5
  int first_conv_stride = 2;
  bool residuals = true;
  bool conv2d_input = false;   ///< a plain 3×3 convolution for the separable stem and the first block
  bool pool = false;           ///< max pooling instead of strided depthwise convolutions
  bool h_swish = true;
  bool squeeze_excite = true;
  int divisor = 1;             ///< widths are multiples of it
  std::vector<int> return_layers = {};  ///< further outputs "layer<i>": i counts the reference's `_layers`

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("num_layers", self.num_layers);
    visit("alpha", self.alpha);
    visit("beta", self.beta);
    visit("t_zero", self.t_zero);
    visit("include_top", self.include_top);
    visit("num_classes", self.num_classes);
    visit("compatibility", self.compatibility);
    visit("downsampling_layers", self.downsampling_layers);
    visit("conv5_percent", self.conv5_percent);
    visit("first_conv_stride", self.first_conv_stride);
    visit("residuals", self.residuals);
    visit("conv2d_input", self.conv2d_input);
    visit("pool", self.pool);
    visit("h_swish", self.h_swish);
    visit("squeeze_excite", self.squeeze_excite);
    visit("divisor", self.divisor);
    visit("return_layers", self.return_layers);
  }
};

/// Input "image"; output "logits" with include_top, else "features"; then "layer<i>" in ascending order.
/// Nodes: stem.*, blocks.<id>.* (0 is the block without expansion), pools.<id>, head.*, classifier.
/// Throws Error "[phinet] …" on values out of range and on inputs that shrink to nothing.
Graph phinet(const PhiNetOptions& options = {});

/// The channel counts that alpha, beta, t_zero and divisor come to, in the order of the network:
///   stem; block 0 (neither block 0 nor its slot with conv2d_input); then for id = 1 … max(3, num_layers):
///   expanded, squeezed (only with squeeze_excite and without compatibility), out.
std::vector<int> phinet_widths(const PhiNetOptions& options);

/// The same structure with any channel counts, in the order of phinet_widths; alpha, beta, t_zero and divisor have no
/// say. A residual is added where a block of stride 1 has as many channels out as in.
/// phinet(o) is phinet_with_widths(o, phinet_widths(o)). Throws Error also on a wrong number of widths or one below 1.
Graph phinet_with_widths(const PhiNetOptions& options, std::span<const int> widths);

/// Expansion of block `id` of `num_layers`: (t0·β)·id/N + t0·(N − id)/N, in double and in that order.
double phinet_expansion(const PhiNetOptions& options, int id);

}  // namespace micromind
