#include "micromind/data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "micromind/base/error.h"
#include "micromind/data/colours.h"
#include "micromind/data/randaugment.h"
#include "micromind/data/warp.h"

namespace micromind {
namespace {

std::size_t area_of(const Image& image) {
  return static_cast<std::size_t>(image.height) * image.width;
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
    const std::uint64_t sum = std::accumulate(image.plane(c), image.plane(c) + area_of(image), std::uint64_t{0});
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
         contrast > 0 || saturation > 0 || erase_probability > 0 || randaugment > 0;
}

void AugmentOptions::validate() const {
  require_range("crop_padding", static_cast<float>(crop_padding), 0, 4096);
  require_range("rotation_degrees", rotation_degrees, 0, 180);
  require_range("zoom", zoom, 0, 1, true);
  require_range("brightness", brightness, 0, 1);
  require_range("contrast", contrast, 0, 1);
  require_range("saturation", saturation, 0, 1);
  require_range("erase_probability", erase_probability, 0, 1);
  require_range("randaugment", static_cast<float>(randaugment), 0, 16);
  require_range("randaugment_magnitude", randaugment_magnitude, 0, 30);
}

Augmenter::Augmenter(const AugmentOptions& options) : options_(options) {
  options_.validate();
}

void Augmenter::operator()(Image& image, Random& random) {
  const AugmentOptions& o = options_;
  if (o.rotation_degrees > 0 || o.zoom > 0) {
    const float degrees = random.uniform(-o.rotation_degrees, o.rotation_degrees);
    warp(image, turning(degrees, around_one(random, o.zoom)), Border::repeat, 0, scratch_);
    std::swap(image, scratch_);
  }
  if (o.horizontal_flip || o.crop_padding > 0) {
    const bool flip = o.horizontal_flip && (random.next() & 1) != 0;
    const auto places = static_cast<std::uint32_t>(2 * o.crop_padding + 1);
    const int dy = static_cast<int>(random.below(places)) - o.crop_padding;
    const int dx = static_cast<int>(random.below(places)) - o.crop_padding;
    if (flip || dy != 0 || dx != 0) {
      shift(image, dy, dx, flip, 0, scratch_);
      std::swap(image, scratch_);
    }
  }
  if (o.randaugment > 0) rand_augment(image, o.randaugment, o.randaugment_magnitude, random, scratch_);
  if (o.brightness > 0 || o.contrast > 0 || o.saturation > 0) {
    const float brightness = around_one(random, o.brightness), contrast = around_one(random, o.contrast);
    change_colours(image, brightness, contrast, around_one(random, o.saturation));
  }
  if (o.erase_probability > 0 && random.uniform() < o.erase_probability) erase(image, random);
}

Image augment(Image image, const AugmentOptions& options, Random& random) {
  Augmenter{options}(image, random);
  return image;
}

}  // namespace micromind
