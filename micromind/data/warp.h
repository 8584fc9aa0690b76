// Moves pixels: affine maps and whole-pixel shifts, in integers, so that every machine makes the same bytes.
#pragma once

#include <cstdint>

#include "micromind/data/image.h"

namespace micromind {

/// What lies outside the image.
enum class Border {
  repeat,  ///< the nearest pixel of the border
  fill     ///< one value
};

/// Where a pixel (x, y) of the result comes from, relative to the centre of the image: (xx·x + xy·y, yx·x + yy·y).
struct Affine {
  double xx = 1, xy = 0, yx = 0, yy = 1;
};

/// The map that turns the picture by `degrees` (counter-clockwise) and scales it by `scale` > 0.
Affine turning(double degrees, double scale);

/// `to` becomes `from` under the map, bilinear with 8 fractional bits; reuses `to`'s memory. `from` and `to` differ.
void warp(const Image& from, const Affine& map, Border border, std::uint8_t fill, Image& to);

/// `to` at (y, x) is `from` at (y + dy, x + dx), `fill` outside; mirrored afterwards when `flip`.
void shift(const Image& from, int dy, int dx, bool flip, std::uint8_t fill, Image& to);

/// Gives `image` that shape; its memory grows but never shrinks, its pixels are unspecified.
void reshape(Image& image, int channels, int height, int width);

}  // namespace micromind
