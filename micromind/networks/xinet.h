// XiNets: Ancilotto, Paissan, Farella, "XiNet: efficient neural networks for tinyML", ICCV 2023, as micromind's Python
// package builds them: standard convolutions on compressed channels, the output of the first XiConv broadcast to all
// later ones, attention on all but the last two. The package knows no beta; `paper_widths` brings the paper's rule for
// the widths to the same structure (see xinet_channels).
//
//   const Graph g = xinet({.input = {3, 96, 96}, .alpha = 0.5, .include_top = true, .num_classes = 10});
#pragma once

#include <span>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct XiNetOptions {
  Shape input{3, 224, 224};  ///< key "input_shape"
  double alpha = 1;          ///< width multiplier
  double gamma = 4;          ///< compression, truncated to a whole number; the last two XiConvs keep 4
  int num_layers = 5;        ///< 3 to 12; there are 2·(num_layers − 1) XiConvs
  int num_classes = 1000;
  bool include_top = false;
  int base_filters = 16;     ///< 4 or 16: stage i has ⌊2^(√base + i)·alpha⌋ channels, which meets the stem only there
  std::vector<int> return_layers = {};  ///< further outputs "layer<i>": i counts the XiConvs
  bool paper_widths = false;  ///< XiConvs after the first: widths by the paper's formula, multiples of 4
  double beta = 1;           ///< with paper_widths: the last XiConv is beta times as wide as alpha alone makes it

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("alpha", self.alpha);
    visit("gamma", self.gamma);
    visit("num_layers", self.num_layers);
    visit("num_classes", self.num_classes);
    visit("include_top", self.include_top);
    visit("base_filters", self.base_filters);
    visit("return_layers", self.return_layers);
    visit("paper_widths", self.paper_widths);
    visit("beta", self.beta);
  }
};

/// Input "image"; output "logits" with include_top, else "features"; then "layer<i>" in ascending order.
/// Nodes: stem.*, layers.<i>.*, head.*, classifier. Where the reference fails on extents that are no multiples of
/// 2^num_layers, or on gamma = 1, the broadcast tensor is brought to the size and width that are there.
/// Throws Error "[xinet] …" on values out of range and on inputs that shrink to nothing.
Graph xinet(const XiNetOptions& options = {});

/// Channels of XiConv `index` (0-based; −1: the stem) before rounding: base_filters·2^D·alpha, which the package
/// truncates. With paper_widths, for all XiConvs but the first, the paper's formula with its rounding left off:
///   4·⌈α·2^(D−2)·(1 + (β − 1)·i/N)·C0⌉
/// as R. Toniolo's thesis quotes it (github.com/RiccardoTonioloDev/Bachelor-Thesis, chapters/xinet.typ): β trades
/// parameters (late layers) for operations (early ones). Our reading of the symbols: C0 = base_filters, the stem,
/// which is block 0, so i = index + 1; N = 2·(num_layers − 1), all XiConvs; D = how often the image was halved in
/// front of the pair of XiConvs that i belongs to, by the stem too. Then beta = 1 gives the package's widths rounded
/// up to multiples of 4, and beta is the factor on the last XiConv, as it is in PhiNet. The first XiConv, which the
/// formula excepts, and with it the broadcast tensor, keep the package's ⌊2·base_filters·alpha⌋; so does the stem its
/// own. gamma divides the channels that a XiConv gives, as in the package (in the thesis: those it reads).
double xinet_channels(const XiNetOptions& options, int index);

/// The channel counts that alpha, beta and gamma come to, in the order of the network: stem; then for each XiConv
/// compressed (where gamma > 1; the last two always), out, attention's reduced (not in the last two). The convolution
/// of the broadcast tensor has the compressed channels and no slot of its own.
/// Throws Error as xinet does, also when alpha and gamma leave no channel somewhere.
std::vector<int> xinet_widths(const XiNetOptions& options);

/// The same structure with any channel counts, in the order of xinet_widths; alpha and beta have no say, and gamma
/// only whether there is compression at all. xinet(o) is xinet_with_widths(o, xinet_widths(o)). Throws Error also on a
/// wrong number of widths or one below 1.
Graph xinet_with_widths(const XiNetOptions& options, std::span<const int> widths);

}  // namespace micromind
