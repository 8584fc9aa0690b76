#include "micromind/data/randaugment.h"

#include <array>
#include <cmath>
#include <utility>

#include "micromind/data/colours.h"
#include "micromind/data/warp.h"

namespace micromind {
namespace {

constexpr std::uint8_t kOutside = 128;

void move(Image& image, Image& scratch, const Affine& map) {
  warp(image, map, Border::fill, kOutside, scratch);
  std::swap(image, scratch);
}

void translate(Image& image, Image& scratch, double rows, double columns) {
  shift(image, -static_cast<int>(std::lround(rows)), -static_cast<int>(std::lround(columns)), false, kOutside, scratch);
  std::swap(image, scratch);
}

}  // namespace

std::string_view to_string(RandOperation operation) {
  constexpr std::array<std::string_view, kRandOperations> names = {
      "identity", "auto_contrast", "equalize", "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
      "brightness", "contrast", "sharpness", "posterize", "solarize", "colour"};
  return names[static_cast<std::size_t>(operation)];
}

void apply(RandOperation operation, double strength, Image& image, Image& scratch) {
  const double size = std::abs(strength);
  const auto factor = static_cast<float>(1 + 0.9 * strength);
  switch (operation) {
    case RandOperation::identity: return;
    case RandOperation::auto_contrast: return stretch_contrast(image);
    case RandOperation::equalize: return equalize(image);
    case RandOperation::rotate: return move(image, scratch, turning(30 * strength, 1));
    case RandOperation::shear_x: return move(image, scratch, {.xy = 0.3 * strength});
    case RandOperation::shear_y: return move(image, scratch, {.yx = 0.3 * strength});
    case RandOperation::translate_x: return translate(image, scratch, 0, 0.45 * strength * image.width);
    case RandOperation::translate_y: return translate(image, scratch, 0.45 * strength * image.height, 0);
    case RandOperation::brightness: return change_colours(image, factor, 1, 1);
    case RandOperation::contrast: return change_colours(image, 1, factor, 1);
    case RandOperation::sharpness: return sharpen(image, factor, scratch);
    case RandOperation::posterize: return posterize(image, 8 - static_cast<int>(std::lround(4 * size)));
    case RandOperation::solarize: return solarize(image, 256 - static_cast<int>(std::lround(256 * size)));
    case RandOperation::colour: return change_colours(image, 1, 1, factor);
  }
}

void rand_augment(Image& image, std::int64_t count, double magnitude, Random& random, Image& scratch) {
  const std::uint32_t choices = image.channels == 3 ? kRandOperations : kRandOperations - 1;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto operation = static_cast<RandOperation>(random.below(choices));
    const double sign = (random.next() & 1) != 0 ? -1 : 1;
    apply(operation, sign * magnitude / kLargestMagnitude, image, scratch);
  }
}

}  // namespace micromind
