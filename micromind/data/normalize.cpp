// Bytes to floats: the constants of known data sets and the table look-up (declared in augment.h).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "micromind/base/error.h"
#include "micromind/data/augment.h"

namespace micromind {

void Normalization::validate(int channels) const {
  const auto n = static_cast<std::size_t>(channels);
  if (mean.size() != n || deviation.size() != n)
    fail("normalization", "expected {} means and deviations, one a channel, found {} and {}", channels,
         mean.size(), deviation.size());
  for (std::size_t c = 0; c < n; ++c)
    if (!std::isfinite(mean[c]) || !std::isfinite(deviation[c]) || deviation[c] <= 0)
      fail("normalization", "channel {}: expected a finite mean and a positive deviation, found {} and {}", c,
           mean[c], deviation[c]);
}

Normalization known_normalization(const std::string& dataset, int channels) {
  if (channels != 1 && channels != 3) fail("normalization", "expected 1 or 3 channels, found {}", channels);
  // Means and deviations of the training images / 255, as they are commonly cited; the glyphs' are round by
  // design.
  Normalization known{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};  // ImageNet
  if (dataset == "cifar10") known = {{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}};
  if (dataset == "cifar100") known = {{0.5071f, 0.4865f, 0.4409f}, {0.2673f, 0.2564f, 0.2762f}};
  if (dataset == "mnist") known = {{0.1307f}, {0.3081f}};
  if (dataset == "fashion-mnist") known = {{0.2860f}, {0.3530f}};
  if (dataset == "glyphs") known = {{0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}};
  for (std::vector<float>* values : {&known.mean, &known.deviation}) {
    if (values->size() == 1 && channels == 3) values->assign(3, values->front());
    if (values->size() == 3 && channels == 1) *values = {((*values)[0] + (*values)[1] + (*values)[2]) / 3};
  }
  return known;
}

Normalization measure_normalization(const Dataset& dataset, std::int64_t samples) {
  const std::int64_t count = std::clamp<std::int64_t>(samples, 1, std::max<std::int64_t>(1, dataset.size()));
  std::vector<double> sum, square;
  double pixels = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const Image image = dataset.get(i * dataset.size() / count).image;
    if (sum.empty()) sum.assign(static_cast<std::size_t>(image.channels), 0), square = sum;
    if (sum.size() != static_cast<std::size_t>(image.channels))
      fail("normalization", "{}: image {} has {} channels, the first has {}", dataset.describe(), i,
           image.channels, sum.size());
    const std::size_t area = static_cast<std::size_t>(image.height) * image.width;
    for (std::size_t c = 0; c < sum.size(); ++c)
      for (std::size_t k = 0; k < area; ++k) {
        const double x = image.pixels[c * area + k] / 255.0;
        sum[c] += x;
        square[c] += x * x;
      }
    pixels += static_cast<double>(area);
  }
  Normalization measured;
  for (std::size_t c = 0; c < sum.size(); ++c) {
    const double mean = sum[c] / pixels, variance = std::max(0.0, square[c] / pixels - mean * mean);
    measured.mean.push_back(static_cast<float>(mean));
    measured.deviation.push_back(static_cast<float>(std::max(1e-3, std::sqrt(variance))));  // constant images
  }
  return measured;
}

PixelScaler::PixelScaler(const Normalization& normalization, int channels) : channels_(channels) {
  normalization.validate(channels);
  for (std::size_t c = 0; c < normalization.mean.size(); ++c)
    for (int v = 0; v < 256; ++v)
      table_.push_back((static_cast<float>(v) / 255.0f - normalization.mean[c]) / normalization.deviation[c]);
}

void PixelScaler::to_float(const Image& image, float* out, bool channels_last) const {
  require_channels(image);
  const std::size_t area = static_cast<std::size_t>(image.height) * image.width;
  const std::uint8_t* in = image.pixels.data();
  if (!channels_last) {
    for (int c = 0; c < channels_; ++c) {
      const float* table = table_.data() + 256 * c;
      for (std::size_t i = 0; i < area; ++i) *out++ = table[*in++];
    }
  } else if (channels_ == 3) {
    const float *r = table_.data(), *g = r + 256, *b = g + 256;
    for (std::size_t i = 0; i < area; ++i, out += 3) {
      out[0] = r[in[i]];
      out[1] = g[in[i + area]];
      out[2] = b[in[i + 2 * area]];
    }
  } else {
    const auto channels = static_cast<std::size_t>(channels_);
    for (std::size_t i = 0; i < area; ++i)
      for (std::size_t c = 0; c < channels; ++c) *out++ = table_[256 * c + in[c * area + i]];
  }
}

void PixelScaler::require_channels(const Image& image) const {
  if (image.channels != channels_)
    fail("normalization", "expected an image of {} channels, found {}", channels_, image.channels);
}

void PixelScaler::box_to_float(const Image& image, const Box& box, float* out, bool channels_last) const {
  require_channels(image);
  const std::ptrdiff_t width = image.width, area = image.height * width;
  const std::ptrdiff_t pixel = channels_last ? channels_ : 1, plane = channels_last ? 1 : area;  // steps in `out`
  for (int c = 0; c < channels_; ++c) {
    const float* table = table_.data() + 256 * c;
    for (int y = box.top; y < box.top + box.height; ++y) {
      const std::uint8_t* in = image.plane(c) + y * width + box.left;
      float* to = out + c * plane + (y * width + box.left) * pixel;
      for (int x = 0; x < box.width; ++x, to += pixel) *to = table[in[x]];
    }
  }
}

void PixelScaler::mix_to_float(const Image& image, const Image& other, float weight, float* out, bool channels_last) const {
  require_channels(image);
  require_channels(other);
  const std::ptrdiff_t area = std::ptrdiff_t{image.height} * image.width;
  const std::ptrdiff_t pixel = channels_last ? channels_ : 1, plane = channels_last ? 1 : area;
  std::array<float, 256> mine, theirs;  // the tables times their shares
  for (int c = 0; c < channels_; ++c) {
    const float* table = table_.data() + 256 * c;
    for (std::size_t v = 0; v < 256; ++v) {
      mine[v] = weight * table[v];
      theirs[v] = (1 - weight) * table[v];
    }
    const std::uint8_t *a = image.plane(c), *b = other.plane(c);
    float* to = out + c * plane;
    for (std::ptrdiff_t i = 0; i < area; ++i, to += pixel) *to = mine[a[i]] + theirs[b[i]];
  }
}

void to_float(const Image& image, const Normalization& normalization, float* out, bool channels_last) {
  PixelScaler(normalization, image.channels).to_float(image, out, channels_last);
}

}  // namespace micromind
