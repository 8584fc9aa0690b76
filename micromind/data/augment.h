// Random changes of training images, and the step from bytes to the floats that a network sees.
//
//   Augmenter augment({.horizontal_flip = true, .crop_padding = 4, .randaugment = 2});   // one a thread
//   Random random(seed, {purpose, epoch, index});
//   augment(sample.image, random);                                                       // in place
//   to_float(sample.image, known_normalization("cifar10", 3), out, /*channels_last=*/true);
#pragma once

#include <string>
#include <vector>

#include "micromind/base/random.h"
#include "micromind/data/dataset.h"
#include "micromind/data/mix.h"

namespace micromind {

/// All off by default. The numbers drawn depend on these options, the image's shape and the stream alone.
struct AugmentOptions {
  bool horizontal_flip = false;  ///< mirrored with probability 1/2
  int crop_padding = 0;          ///< pixels: zeros all round, then a crop of the old size at a uniform place
  float rotation_degrees = 0;    ///< turned by a uniform angle in ± this; the border repeats
  float zoom = 0;                ///< scaled by a uniform factor in 1 ± this, in [0, 1)
  float brightness = 0;          ///< values · uniform in 1 ± this, in [0, 1]
  float contrast = 0;            ///< distance to the mean grey · uniform in 1 ± this, in [0, 1]
  float saturation = 0;  ///< distance to the pixel's own grey · uniform in 1 ± this, in [0, 1]; RGB only
  /// Random erasing (Zhong et al., AAAI 2020): with this probability a rectangle of 2 to 33 % of the area, of
  /// aspect 0.3 to 3.3, becomes the channel's mean.
  float erase_probability = 0;
  int randaugment = 0;               ///< so many operations of data/randaugment.h, 0 to 16
  float randaugment_magnitude = 9;  ///< of each, 0 to 30

  bool any() const;
  void validate() const;  ///< throws Error naming the option that is out of range
};

/// Turn and zoom, crop and flip, RandAugment, colours, erasing, in this order. Keeps the memory that it works in: one a
/// thread, for many images.
class Augmenter {
 public:
  explicit Augmenter(const AugmentOptions& options);  ///< throws Error as validate() does
  void operator()(Image& image, Random& random);      ///< in place; the shape stays

 private:
  AugmentOptions options_;
  Image scratch_;
};

/// The same for a single image.
Image augment(Image image, const AugmentOptions& options, Random& random);

/// x = (pixel / 255 - mean) / deviation, by channel.
struct Normalization {
  std::vector<float> mean = {}, deviation = {};  ///< one value a channel; in units of pixel / 255
  void validate(int channels) const;  ///< throws Error unless there are as many values, deviations positive
};

/// The usual constants of a known data set, ImageNet's for "folder"; grey from RGB: their means; RGB from
/// grey: repeated.
Normalization known_normalization(const std::string& dataset, int channels);

/// Measured over at most `samples` images, evenly spaced. Throws Error on images of unlike channels.
Normalization measure_normalization(const Dataset& dataset, std::int64_t samples = 2000);

/// The table of 256 floats a channel that to_float() looks up.
class PixelScaler {
 public:
  PixelScaler(const Normalization& normalization, int channels);
  /// Writes C·H·W floats: [C, H, W], or [H, W, C] when `channels_last`.
  void to_float(const Image& image, float* out, bool channels_last) const;
  /// Writes the pixels of `box` alone, to where to_float() writes them.
  void box_to_float(const Image& image, const Box& box, float* out, bool channels_last) const;
  /// weight · image + (1 − weight) · other, of one shape.
  void mix_to_float(const Image& image, const Image& other, float weight, float* out, bool channels_last) const;

 private:
  void require_channels(const Image& image) const;
  int channels_;
  std::vector<float> table_;  // [C, 256]
};

/// One image at a time; for many, keep a PixelScaler.
void to_float(const Image& image, const Normalization& normalization, float* out, bool channels_last = false);

}  // namespace micromind
