#include "micromind/data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::size_t area_of(const Image& image) {
  return static_cast<std::size_t>(image.height) * image.width;
}

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
}

/// Zero padding, crop at (dy, dx) of the padded image, and mirror, in one pass over the rows.
Image crop_and_flip(const Image& image, int dy, int dx, bool flip) {  // dy, dx in [-padding, padding]
  Image out(image.channels, image.height, image.width);
  const int first = std::max(0, -dx),
            last = std::min(image.width, image.width - dx);  // columns that exist in the source
  if (first >= last) return out;
  for (int c = 0; c < image.channels; ++c)
    for (int y = std::max(0, -dy); y < std::min(image.height, image.height - dy); ++y) {
      const std::uint8_t* from = image.plane(c) + std::ptrdiff_t{y + dy} * image.width + dx;
      std::uint8_t* to = out.plane(c) + std::ptrdiff_t{y} * image.width;
      if (flip)
        std::reverse_copy(from + first, from + last, to + image.width - last);
      else
        std::memcpy(to + first, from + first, static_cast<std::size_t>(last - first));
    }
  return out;
}

/// Turns and scales about the centre; bilinear, the border repeats.
Image turn(const Image& image, float degrees, float scale) {
  Image out(image.channels, image.height, image.width);
  const float angle = degrees * 0.017453293f;
  const float cosine = std::cos(angle) / scale, sine = std::sin(angle) / scale;
  const float cx = static_cast<float>(image.width - 1) / 2, cy = static_cast<float>(image.height - 1) / 2;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const float px = static_cast<float>(x) - cx, py = static_cast<float>(y) - cy;
      const float u = std::clamp(cosine * px + sine * py + cx, 0.0f, static_cast<float>(image.width - 1));
      const float v = std::clamp(-sine * px + cosine * py + cy, 0.0f, static_cast<float>(image.height - 1));
      const int x0 = static_cast<int>(u), y0 = static_cast<int>(v);
      const int x1 = std::min(x0 + 1, image.width - 1), y1 = std::min(y0 + 1, image.height - 1);
      const float fx = u - static_cast<float>(x0), fy = v - static_cast<float>(y0);
      for (int c = 0; c < image.channels; ++c) {
        const std::uint8_t* p = image.plane(c);
        const auto at = [&](int row, int column) {
          return static_cast<float>(p[std::ptrdiff_t{row} * image.width + column]);
        };
        const float top = at(y0, x0) + (at(y0, x1) - at(y0, x0)) * fx,
                    bottom = at(y1, x0) + (at(y1, x1) - at(y1, x0)) * fx;
        out.plane(c)[std::ptrdiff_t{y} * image.width + x] = to_byte(top + (bottom - top) * fy);
      }
    }
  return out;
}

float grey(const Image& image, std::size_t i) {  // ITU-R BT.601
  if (image.channels != 3) return image.pixels[i];
  const std::size_t area = area_of(image);
  return 0.299f * image.pixels[i] + 0.587f * image.pixels[i + area] + 0.114f * image.pixels[i + 2 * area];
}

/// Brightness, then contrast, then saturation: together one affine map of the pixel and its grey.
void change_colours(Image& image, float brightness, float contrast, float saturation) {
  const std::size_t area = area_of(image);
  float mean = 0;
  if (contrast != 1) {
    double sum = 0;
    for (std::size_t i = 0; i < area; ++i) sum += grey(image, i);
    mean = static_cast<float>(sum / static_cast<double>(area)) * brightness;
  }
  const float gain = brightness * contrast, offset = mean * (1 - contrast);
  for (std::size_t i = 0; i < area; ++i) {
    const float own_grey = image.channels == 3 ? (1 - saturation) * gain * grey(image, i) : 0;
    const float own_gain = image.channels == 3 ? saturation * gain : gain;
    for (int c = 0; c < image.channels; ++c) {
      std::uint8_t& pixel = image.pixels[i + static_cast<std::size_t>(c) * area];
      pixel = to_byte(own_gain * pixel + own_grey + offset);
    }
  }
}

void erase(Image& image, Random& random) {
  const float share = random.uniform(0.02f, 0.33f),
              aspect = std::exp(random.uniform(std::log(0.3f), std::log(3.3f)));
  const float pixels = share * static_cast<float>(area_of(image));
  const int height = std::clamp(static_cast<int>(std::lround(std::sqrt(pixels * aspect))), 1, image.height);
  const int width = std::clamp(static_cast<int>(std::lround(std::sqrt(pixels / aspect))), 1, image.width);
  const int top = static_cast<int>(random.below(static_cast<std::uint32_t>(image.height - height + 1)));
  const int left = static_cast<int>(random.below(static_cast<std::uint32_t>(image.width - width + 1)));
  for (int c = 0; c < image.channels; ++c) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < area_of(image); ++i) sum += image.plane(c)[i];
    const auto fill = static_cast<std::uint8_t>(sum / area_of(image));
    for (int y = top; y < top + height; ++y)
      std::memset(image.plane(c) + std::ptrdiff_t{y} * image.width + left, fill,
                  static_cast<std::size_t>(width));
  }
}

float around_one(Random& random, float reach) {
  return random.uniform(1 - reach, 1 + reach);
}

void require_range(const char* name, float value, float low, float high, bool open_end = false) {
  if (!(value >= low && (open_end ? value < high : value <= high)))
    fail("augment", "{}: expected a value in [{}, {}{}, found {}", name, low, high, open_end ? ")" : "]",
         value);
}

}  // namespace

bool AugmentOptions::any() const {
  return horizontal_flip || crop_padding > 0 || rotation_degrees > 0 || zoom > 0 || brightness > 0 ||
         contrast > 0 || saturation > 0 || erase_probability > 0;
}

void AugmentOptions::validate() const {
  require_range("crop_padding", static_cast<float>(crop_padding), 0, 4096);
  require_range("rotation_degrees", rotation_degrees, 0, 180);
  require_range("zoom", zoom, 0, 1, true);
  require_range("brightness", brightness, 0, 1);
  require_range("contrast", contrast, 0, 1);
  require_range("saturation", saturation, 0, 1);
  require_range("erase_probability", erase_probability, 0, 1);
}

Image augment(const Image& image, const AugmentOptions& options, Random& random) {
  Image out;
  bool changed = false;
  const auto current = [&]() -> const Image& { return changed ? out : image; };
  if (options.rotation_degrees > 0 || options.zoom > 0) {
    const float degrees = random.uniform(-options.rotation_degrees, options.rotation_degrees);
    out = turn(image, degrees, around_one(random, options.zoom));
    changed = true;
  }
  if (options.horizontal_flip || options.crop_padding > 0) {
    const bool flip = options.horizontal_flip && (random.next() & 1) != 0;
    const auto places = static_cast<std::uint32_t>(2 * options.crop_padding + 1);
    const int dy = static_cast<int>(random.below(places)) - options.crop_padding;
    const int dx = static_cast<int>(random.below(places)) - options.crop_padding;
    out = crop_and_flip(current(), dy, dx, flip);
    changed = true;
  }
  if (!changed) out = image;
  if (options.brightness > 0 || options.contrast > 0 || options.saturation > 0) {
    const float brightness = around_one(random, options.brightness),
                contrast = around_one(random, options.contrast);
    change_colours(out, brightness, contrast, around_one(random, options.saturation));
  }
  if (options.erase_probability > 0 && random.uniform() < options.erase_probability) erase(out, random);
  return out;
}

}  // namespace micromind
