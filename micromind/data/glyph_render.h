// Draws the pictures of the "glyphs" data set: one letter, digit or shape a picture, turned, sheared,
// coloured, among strokes, blobs and parts of other glyphs, blurred and noisy. Some classes are alike on
// purpose (3 5 8 B S; cross, star), so that a small network learns most of it in minutes and never quite all.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace micromind {

inline constexpr int kGlyphSize = 32;
inline constexpr int kGlyphBytes = 3 * kGlyphSize * kGlyphSize;

const std::vector<std::string>& glyph_class_names();  ///< ten names

/// Fills `out` with the [3, 32, 32] picture of class `label`; a function of (seed, part, index, label) alone.
/// `part` is 0 for training, 1 for test. Thread-safe; tens of microseconds.
void render_glyph(std::uint64_t seed, int part, std::int64_t index, int label, std::span<std::uint8_t> out);

}  // namespace micromind
