// Post-training quantisation of any float network with samples of its input, without libtorch: the reference executor
// runs them.
//
//   const Model model = read_onnx("anyones.onnx");
//   const std::vector<Array> samples = read_samples({"calibration.npy"}, shape_of_the_input);
//   const PostTraining r = quantize_after_training(model, samples, {.equalize = true});
//   write_tflite(r.model, "model.tflite");
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/quantize/calibration.h"
#include "micromind/quantize/quantize.h"

namespace micromind {

struct PostTrainingOptions {
  CalibrationOptions calibration;
  QuantizeOptions weights;
  bool equalize = false;      ///< cross-layer equalisation before calibration (quantize/equalize.h)
  bool correct_bias = false;  ///< bias correction behind it (quantize/bias_correction.h)
  int threads = 0;            ///< 0: all cores
  std::function<void(std::size_t done, std::size_t all)> progress;  ///< samples that the float network has run; may be empty
};

struct PostTraining {
  Model model;
  int equalized_pairs = 0;
  double bias_correction_steps = 0;
  /// The int8 model beside the float one on the samples: first output.
  double same_argmax = 0;  ///< share of samples
  double rmse = 0;         ///< of the output's numbers
  double largest_output = 0;  ///< magnitude, of the float network
};

/// `samples`: float arrays in the input's shape (C, H, W). Throws Error when the model is int8 already, has not one input, on
/// samples of another shape and as the steps do.
PostTraining quantize_after_training(const Model& model, std::span<const Array> samples, const PostTrainingOptions& options = {});

}  // namespace micromind
