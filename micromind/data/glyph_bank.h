// The masks that glyphs are drawn from: every class in several fonts (Hershey's, as OpenCV carries them) or
// outlines and several stroke widths, drawn once, large and smooth.
#pragma once

#include <array>
#include <vector>

namespace micromind {

inline constexpr int kMaskSize = 48;   ///< side of a mask
inline constexpr int kMaskGlyph = 40;  ///< longer side of the glyph inside, centred
inline constexpr int kGlyphClasses = 10;

/// Coverage in [0, 1], row by row; the border is zero.
struct GlyphMask {
  std::array<float, kMaskSize * kMaskSize> coverage{};
};

/// The variants of a class, in a fixed order. Made at the first call (milliseconds), then read only.
const std::vector<GlyphMask>& glyph_masks(int label);

}  // namespace micromind
