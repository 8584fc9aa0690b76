// MobileNets. V1: Howard et al., arXiv 1704.04861, the one of MLPerf Tiny's visual wake words by default (alpha 0.25,
// 96×96, two classes; Banbury et al., 2021). V2: Sandler et al., CVPR 2018.
#pragma once

#include <span>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct MobileNetV1Options {
  Shape input{3, 96, 96};  ///< key "input_shape"
  double alpha = 0.25;     ///< width multiplier; widths are truncated
  bool include_top = true;
  int num_classes = 2;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("alpha", self.alpha);
    visit("include_top", self.include_top);
    visit("num_classes", self.num_classes);
  }
};

/// 3×3 stem and 13 separable blocks, ReLU, SAME padding as in TensorFlow (stride 2 on even extents pads (0, 1)).
/// Nodes: stem.*, blocks.<i>.{depthwise,pointwise}.*, head.*, classifier.
Graph mobilenet_v1(const MobileNetV1Options& options = {});

struct MobileNetV2Options {
  Shape input{3, 224, 224};  ///< key "input_shape"
  double alpha = 1;          ///< width multiplier; the last 1280 channels grow with it but never shrink
  bool include_top = true;
  int num_classes = 1000;
  int divisor = 8;           ///< widths are multiples of it

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("alpha", self.alpha);
    visit("include_top", self.include_top);
    visit("num_classes", self.num_classes);
    visit("divisor", self.divisor);
  }
};

/// Stem, the 17 inverted residuals of the paper's table 2, the last 1×1 convolution; ReLU6, symmetric padding.
/// Nodes: stem.*, blocks.<i>.{expand,depthwise,project}.*, blocks.<i>.add, last.*, head.*, head.dropout, classifier.
Graph mobilenet_v2(const MobileNetV2Options& options = {});

/// The 35 channel counts that alpha and divisor come to, in the order of the network: stem; block 0 (which does not
/// expand); then expanded, out for blocks 1 … 16; last.
std::vector<int> mobilenet_v2_widths(const MobileNetV2Options& options);

/// The same structure with any channel counts, in the order of mobilenet_v2_widths; alpha and divisor have no say. The
/// input is added where a block of stride 1 has as many channels out as in.
/// mobilenet_v2(o) is mobilenet_v2_with_widths(o, mobilenet_v2_widths(o)). Throws Error also on a wrong number of
/// widths or one below 1.
Graph mobilenet_v2_with_widths(const MobileNetV2Options& options, std::span<const int> widths);

}  // namespace micromind
