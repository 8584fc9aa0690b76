#include "micromind/data/colours.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "micromind/data/warp.h"

namespace micromind {
namespace {

constexpr float kRed = 0.299f, kGreen = 0.587f, kBlue = 0.114f;  // ITU-R BT.601

std::size_t area_of(const Image& image) { return static_cast<std::size_t>(image.height) * image.width; }

std::uint8_t to_byte(float value) { return static_cast<std::uint8_t>(static_cast<int>(std::clamp(value + 0.5f, 0.0f, 255.0f))); }

void look_up(std::uint8_t* values, std::size_t count, const ByteTable& table) {
  for (std::size_t i = 0; i < count; ++i) values[i] = table[values[i]];
}

template <class F>
ByteTable table_of(F&& f) {
  ByteTable table;
  for (int v = 0; v < 256; ++v) table[static_cast<std::size_t>(v)] = static_cast<std::uint8_t>(f(v));
  return table;
}

double mean_of(const std::uint8_t* values, std::size_t count) {
  return static_cast<double>(std::accumulate(values, values + count, std::uint64_t{0})) / static_cast<double>(count);
}

std::array<std::uint32_t, 256> histogram(const std::uint8_t* values, std::size_t count) {
  std::array<std::uint32_t, 256> counts[2] = {};  // two, so that runs of one value do not wait for each other
  std::size_t i = 0;
  for (; i + 1 < count; i += 2) {
    ++counts[0][values[i]];
    ++counts[1][values[i + 1]];
  }
  if (i < count) ++counts[0][values[i]];
  for (std::size_t v = 0; v < 256; ++v) counts[0][v] += counts[1][v];
  return counts[0];
}

}  // namespace

double mean_grey(const Image& image) {
  const std::size_t area = area_of(image);
  if (area == 0) return 0;
  if (image.channels != 3) return mean_of(image.pixels.data(), image.pixels.size());
  return kRed * mean_of(image.plane(0), area) + kGreen * mean_of(image.plane(1), area) + kBlue * mean_of(image.plane(2), area);
}

void change_colours(Image& image, float brightness, float contrast, float saturation) {
  const float mean = contrast != 1 ? static_cast<float>(mean_grey(image)) * brightness : 0;
  const float gain = brightness * contrast, offset = mean * (1 - contrast);
  if (image.channels != 3 || saturation == 1) {
    look_up(image.pixels.data(), image.pixels.size(), table_of([&](int v) { return to_byte(gain * static_cast<float>(v) + offset); }));
    return;
  }
  const std::size_t area = area_of(image);
  std::uint8_t *__restrict r = image.plane(0), *__restrict g = image.plane(1), *__restrict b = image.plane(2);
  const float own = saturation * gain, grey_gain = (1 - saturation) * gain;
  for (std::size_t i = 0; i < area; ++i) {
    const auto red = static_cast<float>(r[i]), green = static_cast<float>(g[i]), blue = static_cast<float>(b[i]);
    const float rest = grey_gain * (kRed * red + kGreen * green + kBlue * blue) + offset;
    r[i] = to_byte(own * red + rest);
    g[i] = to_byte(own * green + rest);
    b[i] = to_byte(own * blue + rest);
  }
}

void stretch_contrast(Image& image) {
  const std::size_t area = area_of(image);
  for (int c = 0; c < image.channels && area > 0; ++c) {
    std::uint8_t* values = image.plane(c);
    const auto [least, most] = std::minmax_element(values, values + area);
    const int low = *least, high = *most;
    if (low == high || (low == 0 && high == 255)) continue;
    const int reach = high - low;
    look_up(values, area, table_of([&](int v) { return (std::clamp(v - low, 0, reach) * 255 + reach / 2) / reach; }));
  }
}

void equalize(Image& image) {
  const std::size_t area = area_of(image);
  for (int c = 0; c < image.channels && area > 0; ++c) {
    const auto counts = histogram(image.plane(c), area);
    std::size_t first = 0;  // the lowest value that occurs becomes 0, the highest 255
    while (counts[first] == 0) ++first;
    const std::uint64_t others = area - counts[first];
    if (others == 0) continue;
    ByteTable table{};
    std::uint64_t below = 0;  // how many lie above `first`, up to and with v
    for (std::size_t v = first + 1; v < 256; ++v) {
      below += counts[v];
      table[v] = static_cast<std::uint8_t>((below * 255 + others / 2) / others);
    }
    look_up(image.plane(c), area, table);
  }
}

void posterize(Image& image, int bits) {
  const auto mask = static_cast<std::uint8_t>(0xFF00 >> std::clamp(bits, 0, 8));
  for (std::uint8_t& value : image.pixels) value &= mask;
}

void solarize(Image& image, int threshold) {
  if (threshold > 255) return;
  const auto from = static_cast<std::uint8_t>(std::max(threshold, 0));
  for (std::uint8_t& value : image.pixels) value = value >= from ? static_cast<std::uint8_t>(255 - value) : value;
}

void sharpen(Image& image, float factor, Image& scratch) {
  reshape(scratch, image.channels, image.height, image.width);
  std::copy(image.pixels.begin(), image.pixels.end(), scratch.pixels.begin());
  const std::ptrdiff_t width = image.width;
  const float own = factor, around = (1 - factor) / 13;
  for (int c = 0; c < image.channels; ++c)
    for (int y = 1; y + 1 < image.height; ++y) {
      const std::uint8_t* __restrict row = scratch.plane(c) + y * width;
      std::uint8_t* __restrict out = image.plane(c) + y * width;
      for (std::ptrdiff_t x = 1; x + 1 < width; ++x) {
        const std::uint8_t *up = row - width + x, *here = row + x, *down = row + width + x;
        const int sum = up[-1] + up[0] + up[1] + here[-1] + 5 * here[0] + here[1] + down[-1] + down[0] + down[1];
        out[x] = to_byte(own * static_cast<float>(here[0]) + around * static_cast<float>(sum));
      }
    }
}

}  // namespace micromind
