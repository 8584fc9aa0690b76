// The further networks of MLPerf Tiny (Banbury et al., "MLPerf Tiny benchmark", NeurIPS data sets 2021): ResNet-8 for
// image classification, DS-CNN for keyword spotting, the autoencoder for anomaly detection. Visual wake words is
// mobilenet_v1. Padding is TensorFlow's SAME; outputs are logits, softmax is left to the caller.
#pragma once

#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct ResNetOptions {
  Shape input{3, 32, 32};  ///< key "input_shape"
  std::vector<int> filters = {16, 32, 64};  ///< one residual block each; all but the first halve the image
  bool include_top = true;
  int num_classes = 10;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("filters", self.filters);
    visit("include_top", self.include_top);
    visit("num_classes", self.num_classes);
  }
};

/// ResNet-8 by default (He et al., CVPR 2016, cut to three blocks). The convolutions in front of batch norm have no
/// bias, which the benchmark's Keras code has: its 78,666 parameters are these plus 240 biases and 480 running statistics.
/// Nodes: stem.*, blocks.<i>.{first,second}.*, blocks.<i>.shortcut, head.*, classifier.
Graph resnet8(const ResNetOptions& options = {});

struct DsCnnOptions {
  Shape input{1, 49, 10};  ///< key "input_shape": 49 frames of 10 cepstral coefficients
  int filters = 64;
  int num_layers = 4;      ///< separable blocks
  bool include_top = true;
  int num_classes = 12;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("filters", self.filters);
    visit("num_layers", self.num_layers);
    visit("include_top", self.include_top);
    visit("num_classes", self.num_classes);
  }
};

/// Zhang et al., "Hello Edge: keyword spotting on microcontrollers", arXiv 1711.07128. Stem 10×4 with stride 2.
/// Nodes: stem.*, stem.dropout, blocks.<i>.{depthwise,pointwise}.*, dropout, head.*, classifier.
Graph ds_cnn(const DsCnnOptions& options = {});

struct AutoencoderOptions {
  Shape input{640};      ///< key "input_shape": 5 frames of 128 mel bands
  int hidden = 128;      ///< width of the four layers on either side
  int bottleneck = 8;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("input_shape", self.input);
    visit("hidden", self.hidden);
    visit("bottleneck", self.bottleneck);
  }
};

/// Koizumi et al., DCASE 2020 task 2 baseline. Input "frames", output "reconstruction" of the input's shape.
/// Nodes: encoder.<i>.{linear,norm,act}, bottleneck.*, decoder.<i>.*, reconstruction.
Graph autoencoder(const AutoencoderOptions& options = {});

}  // namespace micromind
