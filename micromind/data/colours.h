// Changes of pixel values, in place. Most are one look-up a byte.
#pragma once

#include <array>
#include <cstdint>

#include "micromind/data/image.h"

namespace micromind {

using ByteTable = std::array<std::uint8_t, 256>;

/// Mean of the picture's grey (ITU-R BT.601 of an RGB image), in [0, 255].
double mean_grey(const Image& image);

/// Values · brightness; then the distance to the mean grey · contrast; then the distance to the pixel's own grey ·
/// saturation (RGB; others are left as they are). Factors ≥ 0.
void change_colours(Image& image, float brightness, float contrast, float saturation);

/// Every channel's values stretched linearly so that its least is 0 and its largest 255; a flat channel stays.
void stretch_contrast(Image& image);

/// Every channel's values mapped so that their histogram is as flat as a table can make it; a flat channel stays.
void equalize(Image& image);

/// Keeps the `bits` highest bits of a value, 0 to 8.
void posterize(Image& image, int bits);

/// v becomes 255 − v where v ≥ threshold; 256 leaves all as it is.
void solarize(Image& image, int threshold);

/// The distance to a 3 × 3 mean (weight 5 in the middle, 1 around) · factor; border pixels stay. `scratch` is for its use.
void sharpen(Image& image, float factor, Image& scratch);

}  // namespace micromind
