#include "micromind/data/glyph_render.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/data/glyph_bank.h"
#include "micromind/data/streams.h"

namespace micromind {
namespace {

constexpr int kSize = kGlyphSize, kArea = kSize * kSize;
using Plane = std::array<float, kArea>;  // [H, W]
using Canvas = std::array<Plane, 3>;     // [C, H, W], values in [0, 1] and a little beyond
using Colour = std::array<float, 3>;

Colour random_colour(Random& random) {
  return {random.uniform(), random.uniform(), random.uniform()};
}

float distance(const Colour& a, const Colour& b) {
  float sum = 0;
  for (std::size_t c = 0; c < 3; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
  return std::sqrt(sum);
}

/// A colour at least `least` away from `other` (at most sqrt(3) apart); after a few tries its opposite
/// corner.
Colour contrasting(Random& random, const Colour& other, float least) {
  for (int attempt = 0; attempt < 6; ++attempt)
    if (const Colour colour = random_colour(random); distance(colour, other) >= least) return colour;
  Colour opposite{};
  for (std::size_t c = 0; c < 3; ++c) opposite[c] = other[c] < 0.5f ? 0.9f : 0.1f;
  return opposite;
}

void blend(Canvas& canvas, const Plane& mask, const Colour& colour, float opacity) {
  for (std::size_t c = 0; c < 3; ++c) {
    float* out = canvas[c].data();
    for (int i = 0; i < kArea; ++i) out[i] += (colour[c] - out[i]) * mask[i] * opacity;
  }
}

/// A ramp between two near colours, along any direction.
Colour paint_background(Canvas& canvas, Random& random) {
  const Colour from = random_colour(random);
  Colour to{};
  for (float& v : to) v = random.uniform(-0.3f, 0.3f);
  const float angle = random.uniform(0, 6.2831853f);
  const float dx = std::cos(angle) / kSize, dy = std::sin(angle) / kSize;
  for (std::size_t c = 0; c < 3; ++c)
    for (int y = 0; y < kSize; ++y)
      for (int x = 0; x < kSize; ++x)
        canvas[c][static_cast<std::size_t>(y * kSize + x)] =
            from[c] + to[c] * (dx * (x - kSize / 2) + dy * (y - kSize / 2));
  return from;
}

struct Affine {  // canvas pixel (x, y) -> mask pixel: u = a x + b y + c, v = d x + e y + f
  float a, b, c, d, e, f;
};

/// The inverse of: scale so that the longer side has `pixels`, stretch, shear, turn by `angle`, move to (cx,
/// cy).
Affine placement(float pixels, float stretch, float shear, float angle, float cx, float cy) {
  const float unit = pixels / kMaskGlyph;
  const float sx = unit * stretch, sy = unit / stretch, cosine = std::cos(angle), sine = std::sin(angle);
  // forward = rotate * [[sx, shear * sy], [0, sy]]
  const float m00 = cosine * sx, m01 = cosine * shear * sy - sine * sy, m10 = sine * sx,
              m11 = sine * shear * sy + cosine * sy;
  const float determinant = m00 * m11 - m01 * m10;
  const float a = m11 / determinant, b = -m01 / determinant, d = -m10 / determinant, e = m00 / determinant;
  constexpr float middle = (kMaskSize - 1) / 2.0f;
  return {a, b, middle - a * cx - b * cy, d, e, middle - d * cx - e * cy};
}

void sample_mask(const GlyphMask& mask, const Affine& t, Plane& out) {  // bilinear
  for (int y = 0; y < kSize; ++y)
    for (int x = 0; x < kSize; ++x) {
      const float u = t.a * static_cast<float>(x) + t.b * static_cast<float>(y) + t.c;
      const float v = t.d * static_cast<float>(x) + t.e * static_cast<float>(y) + t.f;
      float value = 0;
      if (u >= 0 && v >= 0 && u < kMaskSize - 1 && v < kMaskSize - 1) {
        const int iu = static_cast<int>(u), iv = static_cast<int>(v);
        const float fu = u - static_cast<float>(iu), fv = v - static_cast<float>(iv);
        const float* p = mask.coverage.data() + iv * kMaskSize + iu;
        const float top = p[0] + (p[1] - p[0]) * fu,
                    bottom = p[kMaskSize] + (p[kMaskSize + 1] - p[kMaskSize]) * fu;
        value = top + (bottom - top) * fv;
      }
      out[static_cast<std::size_t>(y * kSize + x)] = value;
    }
}

/// A line of round ends: one minus the distance to the segment beyond half the width, cut to [0, 1].
void stroke_mask(Random& random, float length, float half_width, Plane& out) {
  const float x0 = random.uniform(-4, kSize + 4), y0 = random.uniform(-4, kSize + 4),
              angle = random.uniform(0, 6.2831853f);
  const float dx = std::cos(angle), dy = std::sin(angle);
  for (int y = 0; y < kSize; ++y)
    for (int x = 0; x < kSize; ++x) {
      const float px = static_cast<float>(x) - x0, py = static_cast<float>(y) - y0;
      const float along = std::clamp(px * dx + py * dy, 0.0f, length);
      const float ex = px - along * dx, ey = py - along * dy;
      out[static_cast<std::size_t>(y * kSize + x)] =
          std::clamp(half_width + 0.5f - std::sqrt(ex * ex + ey * ey), 0.0f, 1.0f);
    }
}

/// A disc, or a ring when `ring` is positive: its half width.
void blob_mask(float cx, float cy, float radius, float ring, Plane& out) {
  for (int y = 0; y < kSize; ++y)
    for (int x = 0; x < kSize; ++x) {
      const float px = static_cast<float>(x) - cx, py = static_cast<float>(y) - cy;
      const float r = std::sqrt(px * px + py * py) - radius;
      out[static_cast<std::size_t>(y * kSize + x)] =
          std::clamp((ring > 0 ? ring - std::abs(r) : -r) + 0.5f, 0.0f, 1.0f);
    }
}

const GlyphMask& random_mask(Random& random, int label) {
  const auto& masks = glyph_masks(label);
  return masks[random.below(static_cast<std::uint32_t>(masks.size()))];
}

void paint_clutter(Canvas& canvas, Random& random, Plane& mask) {
  const int count = 1 + static_cast<int>(random.below(4));
  for (int i = 0; i < count; ++i) {
    const std::uint32_t kind = random.below(4);
    if (kind == 0) {
      stroke_mask(random, random.uniform(6, 30), random.uniform(0.4f, 1.8f), mask);
    } else if (kind == 1) {
      const float ring = random.uniform() < 0.5f ? 0 : random.uniform(0.5f, 1.2f);
      const float cx = random.uniform(0, kSize), cy = random.uniform(0, kSize);
      blob_mask(cx, cy, random.uniform(2, 6), ring, mask);
    } else {  // a small other glyph, centred near the border so that a part of it shows
      const float angle = random.uniform(0, 6.2831853f), reach = random.uniform(14, 19);
      const GlyphMask& other = random_mask(random, static_cast<int>(random.below(kGlyphClasses)));
      const float cx = kSize / 2 + reach * std::cos(angle), cy = kSize / 2 + reach * std::sin(angle);
      sample_mask(other, placement(random.uniform(9, 15), 1, 0, random.uniform(0, 6.2831853f), cx, cy), mask);
    }
    blend(canvas, mask, random_colour(random), random.uniform(0.35f, 1.0f));
  }
}

void paint_glyph(Canvas& canvas, Random& random, int label, const Colour& background, Plane& mask) {
  const GlyphMask& variant = random_mask(random, label);
  const float pixels = random.uniform(15, 26), stretch = random.uniform(0.8f, 1.25f),
              shear = random.uniform(-0.3f, 0.3f);
  const float angle = random.uniform(-0.6f, 0.6f);  // radians: 34 degrees
  const float cx = kSize / 2 - 0.5f + random.uniform(-4, 4), cy = kSize / 2 - 0.5f + random.uniform(-4, 4);
  sample_mask(variant, placement(pixels, stretch, shear, angle, cx, cy), mask);
  blend(canvas, mask, contrasting(random, background, random.uniform(0.35f, 0.8f)),
        random.uniform(0.8f, 1.0f));
}

void paint_occlusion(Canvas& canvas, Random& random, Plane& mask) {
  const std::uint32_t count = random.below(3);
  for (std::uint32_t i = 0; i < count; ++i) {
    stroke_mask(random, random.uniform(10, 34), random.uniform(0.2f, 0.9f), mask);
    blend(canvas, mask, random_colour(random), random.uniform(0.5f, 1.0f));
  }
}

/// The 1 2 1 filter along rows, then columns; edges repeat.
void blur(Canvas& canvas, Plane& scratch) {
  for (Plane& plane : canvas) {
    for (int y = 0; y < kSize; ++y)
      for (int x = 0; x < kSize; ++x) {
        const float* row = plane.data() + y * kSize;
        scratch[static_cast<std::size_t>(y * kSize + x)] =
            0.25f * row[std::max(x - 1, 0)] + 0.5f * row[x] + 0.25f * row[std::min(x + 1, kSize - 1)];
      }
    for (int y = 0; y < kSize; ++y) {
      const float* up = scratch.data() + std::max(y - 1, 0) * kSize;
      const float* here = scratch.data() + y * kSize;
      const float* down = scratch.data() + std::min(y + 1, kSize - 1) * kSize;
      float* out = plane.data() + y * kSize;
      for (int x = 0; x < kSize; ++x) out[x] = 0.25f * up[x] + 0.5f * here[x] + 0.25f * down[x];
    }
  }
}

/// Adds noise (the sum of two uniform bytes: triangular, deviation about `deviation`) and rounds to bytes.
void finish(const Canvas& canvas, Random& random, float deviation, std::span<std::uint8_t> out) {
  const float scale = deviation * 255 / 104.5f;  // sqrt(2 (256^2 - 1) / 12) = 104.5
  const auto byte = [](float v) { return static_cast<std::uint8_t>(std::clamp(v, 0.0f, 255.0f)); };
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t i = 0; i < kArea; i += 2) {
      const std::uint32_t bits = random.next();
      const int first = static_cast<int>(bits & 255) + static_cast<int>(bits >> 8 & 255) - 255;
      const int second = static_cast<int>(bits >> 16 & 255) + static_cast<int>(bits >> 24) - 255;
      std::uint8_t* to = out.data() + c * kArea + i;
      to[0] = byte(canvas[c][i] * 255 + 0.5f + scale * static_cast<float>(first));
      to[1] = byte(canvas[c][i + 1] * 255 + 0.5f + scale * static_cast<float>(second));
    }
}

}  // namespace

const std::vector<std::string>& glyph_class_names() {
  static const std::vector<std::string> names = {"three",  "five",   "eight",    "letter_b", "letter_s",
                                                 "circle", "square", "triangle", "cross",    "star"};
  return names;
}

void render_glyph(std::uint64_t seed, int part, std::int64_t index, int label, std::span<std::uint8_t> out) {
  if (label < 0 || label >= kGlyphClasses || out.size() != kGlyphBytes)
    fail("data", "glyphs: expected a label in [0, {}) and {} bytes, found {} and {}", kGlyphClasses,
         kGlyphBytes, label, out.size());
  Random random(seed, {kGlyphStream, static_cast<std::uint64_t>(part), static_cast<std::uint64_t>(index)});
  Canvas canvas;
  Plane scratch;
  const Colour background = paint_background(canvas, random);
  paint_clutter(canvas, random, scratch);
  paint_glyph(canvas, random, label, background, scratch);
  paint_occlusion(canvas, random, scratch);
  for (std::uint32_t times = random.below(3); times > 0; --times) blur(canvas, scratch);
  finish(canvas, random, random.uniform(0.01f, 0.08f), out);
}

}  // namespace micromind
