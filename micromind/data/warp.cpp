#include "micromind/data/warp.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace micromind {
namespace {

constexpr int kBits = 17;  // fraction of a source coordinate: 16 of the map's numbers, one as centres lie at halves

// One row's four neighbours and their weights, for all channels.
struct Place {
  int x0, x1, y0, y1;
  unsigned fx, fy;  // of 256
};

std::uint8_t blend(unsigned a, unsigned b, unsigned c, unsigned d, unsigned fx, unsigned fy) {
  const unsigned top = a * (256 - fx) + b * fx, bottom = c * (256 - fx) + d * fx;
  return static_cast<std::uint8_t>((top * (256 - fy) + bottom * fy + 32768) >> 16);
}

Place place_of(std::int64_t u, std::int64_t v) {
  const int x = static_cast<int>(u >> kBits), y = static_cast<int>(v >> kBits);
  return {x, x + 1, y, y + 1, static_cast<unsigned>(u >> (kBits - 8)) & 255, static_cast<unsigned>(v >> (kBits - 8)) & 255};
}

}  // namespace

void reshape(Image& image, int channels, int height, int width) {
  image.channels = channels;
  image.height = height;
  image.width = width;
  image.pixels.resize(static_cast<std::size_t>(channels) * height * width);
}

Affine turning(double degrees, double scale) {
  const double angle = degrees * 0.017453292519943295, cosine = std::cos(angle) / scale, sine = std::sin(angle) / scale;
  return {cosine, -sine, sine, cosine};
}

void warp(const Image& from, const Affine& map, Border border, std::uint8_t fill, Image& to) {
  const int width = from.width, height = from.height;
  reshape(to, from.channels, height, width);
  const auto fixed = [](double value) { return static_cast<std::int64_t>(std::llround(value * 65536)); };
  const std::int64_t xx = fixed(map.xx), xy = fixed(map.xy), yx = fixed(map.yx), yy = fixed(map.yy);
  const std::int64_t last_u = std::int64_t{width - 1} << kBits, last_v = std::int64_t{height - 1} << kBits;
  const std::ptrdiff_t area = std::ptrdiff_t{height} * width;
  const std::uint8_t* const source = from.pixels.data();
  std::uint8_t* out = to.pixels.data();
  for (int y = 0; y < height; ++y) {
    const std::int64_t py = 2 * y - height + 1, px = 1 - width;
    std::int64_t u = xx * px + xy * py + last_u / 2, v = yx * px + yy * py + last_v / 2;
    for (int x = 0; x < width; ++x, ++out, u += 2 * xx, v += 2 * yx) {
      if (u >= 0 && v >= 0 && u < last_u && v < last_v) {
        const Place p = place_of(u, v);
        const std::uint8_t* s = source + std::ptrdiff_t{p.y0} * width + p.x0;
        std::uint8_t* o = out;
        for (int c = 0; c < from.channels; ++c, s += area, o += area) *o = blend(s[0], s[1], s[width], s[width + 1], p.fx, p.fy);
        continue;
      }
      const bool repeat = border == Border::repeat;
      Place p = place_of(repeat ? std::clamp<std::int64_t>(u, 0, last_u) : std::clamp<std::int64_t>(u, -(std::int64_t{2} << kBits), last_u + (std::int64_t{2} << kBits)),
                         repeat ? std::clamp<std::int64_t>(v, 0, last_v) : std::clamp<std::int64_t>(v, -(std::int64_t{2} << kBits), last_v + (std::int64_t{2} << kBits)));
      if (repeat) {
        p.x1 = std::min(p.x1, width - 1);
        p.y1 = std::min(p.y1, height - 1);
      }
      for (int c = 0; c < from.channels; ++c) {
        const std::uint8_t* plane = source + c * area;
        const auto at = [&](int row, int column) -> unsigned {
          const bool inside = row >= 0 && row < height && column >= 0 && column < width;
          return inside ? plane[std::ptrdiff_t{row} * width + column] : fill;
        };
        out[c * area] = blend(at(p.y0, p.x0), at(p.y0, p.x1), at(p.y1, p.x0), at(p.y1, p.x1), p.fx, p.fy);
      }
    }
  }
}

void shift(const Image& from, int dy, int dx, bool flip, std::uint8_t fill, Image& to) {
  reshape(to, from.channels, from.height, from.width);
  const int first = std::clamp(-dx, 0, from.width), last = std::clamp(from.width - dx, first, from.width);  // columns that exist
  for (int c = 0; c < from.channels; ++c)
    for (int y = 0; y < from.height; ++y) {
      std::uint8_t* row = to.plane(c) + std::ptrdiff_t{y} * to.width;
      if (y + dy < 0 || y + dy >= from.height || first == last) {
        std::memset(row, fill, static_cast<std::size_t>(to.width));
        continue;
      }
      const std::uint8_t* source = from.plane(c) + std::ptrdiff_t{y + dy} * from.width + dx;
      std::memset(row, fill, static_cast<std::size_t>(first));
      std::memcpy(row + first, source + first, static_cast<std::size_t>(last - first));
      std::memset(row + last, fill, static_cast<std::size_t>(to.width - last));
      if (flip) std::reverse(row, row + to.width);
    }
}

}  // namespace micromind
