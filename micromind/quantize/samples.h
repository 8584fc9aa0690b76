// Samples of a network's input from files of numbers: what calibration reads where there is no data set.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "micromind/graph/weights.h"

namespace micromind {

/// How a file lays out images: (N, C, H, W) as PyTorch or (N, H, W, C) as TensorFlow.
enum class SampleLayout { channels_first, channels_last };

struct SampleOptions {
  SampleLayout layout = SampleLayout::channels_first;
  std::size_t limit = 512;          ///< samples taken, evenly over those that are there
  /// (number · scale − mean)/deviation, per channel; one entry serves all. Numbers of float files are taken as they are
  /// where nothing is given, pixels (uint8) are scaled by 1/255.
  double scale = 0;                 ///< 0: 1 for float files, 1/255 for pixels
  std::vector<double> mean, deviation;
};

/// .npy (float32, float64, int8 or uint8; a batch, or one sample without a batch), .bin (raw little-endian float32, a whole
/// number of samples), or folders of them. Returns float arrays of `input`'s shape (C, H, W).
/// Throws Error on damaged files, other shapes, numbers that are not finite, and where nothing is found.
std::vector<Array> read_samples(std::span<const std::filesystem::path> files, const Shape& input, const SampleOptions& options = {});

/// Numbers in the file's layout as one sample, scaled and normalised. `pixels`: they were uint8.
Array sample_from(std::span<const float> numbers, const Shape& input, const SampleOptions& options, bool pixels);

}  // namespace micromind
