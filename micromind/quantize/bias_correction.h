// Bias correction (Nagel et al., ICCV 2019, section 4.2, the empirical form): rounding weights and activations shifts the mean
// of a layer's output; the shift, measured a channel on calibration images, is taken off the int8 bias.
//
//   BiasCorrection correction(network);                          // the folded float network
//   … correction.observe(value, numbers) for every value of every calibration image …
//   correct(model, inputs of the same images);
//
// Before the activation, channel o of a convolution has the mean Σ w·m + b with m the mean of the input at each tap of the
// kernel, so the inputs' means tell both sides exactly: those of the float network, and those of the int8 model, whose
// layers before this one are corrected already. The float network is not touched.
#pragma once

#include <span>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/folded_network.h"

namespace micromind {

class BiasCorrection {
 public:
  explicit BiasCorrection(const FoldedNetwork& network);

  /// Numbers [N, C, H, W] of a value of the float network; may come in any parts. Values that no layer reads are passed over.
  void observe(int value, std::span<const float> numbers);

  /// Corrects the biases of `model`, which was quantised from the network with any ranges, layer after layer. `inputs`: the
  /// same images as int8 (quantize_image). Returns the mean magnitude of the corrections over all layers, in steps of a layer's output.
  /// Throws Error when nothing or another number of images was observed, or the model is another network's.
  double correct(Model& model, std::span<const std::vector<std::int8_t>> inputs, int threads = 0) const;

 private:
  struct Sums {
    std::vector<double> taps;  ///< (C, KH, KW): Σ over images and output positions of the input that a tap meets
    std::int64_t images = 0;
  };
  struct Window;
  using Bytes = std::vector<std::int8_t>;
  static Window window_of(const Graph& graph, const Node& node);
  static std::vector<double> int8_sums(const Window& w, int zero_point, const std::vector<Bytes>& images, int threads);
  std::vector<double> float_sums(std::size_t n) const;
  /// Returns the mean magnitude of the corrections, in steps of the output.
  double correct_layer(Model& model, std::size_t n, const std::vector<Bytes>& images, int threads) const;

  FoldedNetwork network_;
  Lowered lowered_;
  std::vector<Sums> sums_;                         // per node of the lowered graph
  std::vector<std::vector<std::size_t>> readers_;  // per value of the float graph: the lowered nodes that take it
};

}  // namespace micromind
