// RandAugment (Cubuk, Zoph, Shlens and Le, "RandAugment: Practical automated data augmentation with a reduced search
// space", 2020): a few operations an image, each drawn from fourteen, all of one strength.
//
// The ranges are those of AutoAugment (Cubuk et al., CVPR 2019, table 6), reached at magnitude 30:
//
//   identity
//   auto_contrast, equalize                 no strength
//   rotate                                  ± 30 degrees
//   shear_x, shear_y                        ± 0.3 pixels a pixel
//   translate_x, translate_y                ± 45 % of the side, whole pixels
//   brightness, contrast, colour, sharpness factor 1 ± 0.9
//   posterize                               8 down to 4 bits
//   solarize                                inverts from 256 (nothing) down to 0 (everything)
//
// What comes in from outside the picture is grey (128).
#pragma once

#include <cstdint>
#include <string_view>

#include "micromind/base/random.h"
#include "micromind/data/image.h"

namespace micromind {

enum class RandOperation {
  identity, auto_contrast, equalize, rotate, shear_x, shear_y, translate_x, translate_y,
  brightness, contrast, sharpness, posterize, solarize,
  colour,  ///< the last: grey images are left without it
};
constexpr int kRandOperations = 14;
constexpr double kLargestMagnitude = 30;

std::string_view to_string(RandOperation operation);

/// One operation at `strength` in [−1, 1], magnitude / 30 with the direction as sign (operations without one ignore it).
/// `scratch` lends memory.
void apply(RandOperation operation, double strength, Image& image, Image& scratch);

/// `count` operations of `magnitude` in [0, 30], in either direction. Images that are not RGB choose among thirteen.
void rand_augment(Image& image, std::int64_t count, double magnitude, Random& random, Image& scratch);

}  // namespace micromind
