#include "micromind/data/randaugment.h"

#include <array>
#include <cmath>
#include <map>

#include "data/support.h"
#include "micromind/data/augment.h"
#include "micromind/data/colours.h"
#include "micromind/data/warp.h"

namespace micromind {
namespace {

Image noise(int channels, int height, int width, std::uint64_t seed, int low = 0, int high = 255) {
  Image image(channels, height, width);
  Random random(seed);
  for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1))));
  return image;
}

Image applied(RandOperation operation, double strength, Image image) {
  Image scratch;
  apply(operation, strength, image, scratch);
  return image;
}

TEST(Warp, TurningByARightAngleMovesEveryPixel) {
  const Image image = noise(2, 7, 7, 1);
  Image out;
  warp(image, turning(90, 1), Border::fill, 0, out);
  for (int c = 0; c < 2; ++c)
    for (int y = 0; y < 7; ++y)
      for (int x = 0; x < 7; ++x) ASSERT_EQ(out.plane(c)[y * 7 + x], image.plane(c)[x * 7 + 6 - y]) << "counter-clockwise";
  warp(image, {}, Border::fill, 0, out);
  EXPECT_EQ(out.pixels, image.pixels);
  warp(flat_image(1, 9, 12, 100), turning(33, 0.5), Border::repeat, 0, out);
  EXPECT_EQ(out.pixels, flat_image(1, 9, 12, 100).pixels);
  warp(image, {.xx = 1e9, .yy = 1e9}, Border::fill, 7, out);  // far outside: no access there
  EXPECT_EQ(out.pixels[0], 7);
}

TEST(Warp, AgreesWithBilinearInterpolationInDouble) {
  const Image image = noise(1, 20, 30, 2);
  const Affine map{0.9, 0.2, -0.3, 1.1};
  Image out;
  warp(image, map, Border::repeat, 0, out);
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 30; ++x) {
      const double px = x - 14.5, py = y - 9.5;
      const double u = std::clamp(map.xx * px + map.xy * py + 14.5, 0.0, 29.0), v = std::clamp(map.yx * px + map.yy * py + 9.5, 0.0, 19.0);
      const int x0 = std::min(28, static_cast<int>(u)), y0 = std::min(18, static_cast<int>(v));
      const double fx = u - x0, fy = v - y0;
      const auto at = [&](int r, int c) { return static_cast<double>(image.pixels[static_cast<std::size_t>(r * 30 + c)]); };
      const double expected = (at(y0, x0) * (1 - fx) + at(y0, x0 + 1) * fx) * (1 - fy) + (at(y0 + 1, x0) * (1 - fx) + at(y0 + 1, x0 + 1) * fx) * fy;
      ASSERT_NEAR(out.pixels[static_cast<std::size_t>(y * 30 + x)], expected, 2.6) << x << " " << y;  // 1/256 steps of 255, twice, and rounding
    }
}

TEST(RandAugment, GeometryMovesPixelsAsStated) {
  const Image image = noise(3, 20, 20, 3);
  const Image right = applied(RandOperation::translate_x, 1, image), up = applied(RandOperation::translate_y, -1, image);
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 20; ++y)
      for (int x = 0; x < 20; ++x) {  // 45 % of 20 are 9
        ASSERT_EQ(right.plane(c)[y * 20 + x], x < 9 ? 128 : image.plane(c)[y * 20 + x - 9]);
        ASSERT_EQ(up.plane(c)[y * 20 + x], y >= 11 ? 128 : image.plane(c)[(y + 9) * 20 + x]);
      }
  // A shear of 0.3 moves the row 10 below the centre of 21 by three pixels, and leaves the middle row alone.
  const Image odd = noise(1, 21, 21, 4);
  const Image sheared = applied(RandOperation::shear_x, 1, odd), down = applied(RandOperation::shear_y, 1, odd);
  for (int x = 0; x < 18; ++x) {
    EXPECT_NEAR(sheared.pixels[static_cast<std::size_t>(20 * 21 + x)], odd.pixels[static_cast<std::size_t>(20 * 21 + x + 3)], 1);
    EXPECT_NEAR(down.pixels[static_cast<std::size_t>(x * 21 + 20)], odd.pixels[static_cast<std::size_t>((x + 3) * 21 + 20)], 1);
  }
  for (std::size_t x = 0; x < 21; ++x) EXPECT_EQ(sheared.pixels[10 * 21 + x], odd.pixels[10 * 21 + x]);
  Image turned;
  warp(image, turning(30, 1), Border::fill, 128, turned);
  EXPECT_EQ(applied(RandOperation::rotate, 1, image).pixels, turned.pixels);
  EXPECT_EQ(turned.pixels[0], 128);
}

TEST(RandAugment, ColoursFollowTheirFormulas) {
  const Image image = noise(3, 8, 9, 5, 20, 200);
  const auto each = [&](RandOperation operation, double strength, auto&& formula, double tolerance) {
    const Image out = applied(operation, strength, image);
    for (std::size_t i = 0; i < 72; ++i) {
      const double r = image.pixels[i], g = image.pixels[i + 72], b = image.pixels[i + 144];
      for (std::size_t c = 0; c < 3; ++c) {
        const double expected = std::clamp(formula(static_cast<double>(image.pixels[i + c * 72]), 0.299 * r + 0.587 * g + 0.114 * b), 0.0, 255.0);
        ASSERT_NEAR(out.pixels[i + c * 72], expected, tolerance) << to_string(operation);
      }
    }
  };
  const double mean = mean_grey(image);
  each(RandOperation::identity, 1, [](double v, double) { return v; }, 0);
  each(RandOperation::brightness, -0.5, [](double v, double) { return v * 0.55; }, 0.51);
  each(RandOperation::brightness, 1, [](double v, double) { return v * 1.9; }, 0.51);
  each(RandOperation::contrast, 1, [&](double v, double) { return mean + (v - mean) * 1.9; }, 0.51);
  each(RandOperation::colour, -1, [](double v, double grey) { return grey + (v - grey) * 0.1; }, 0.51);
  each(RandOperation::posterize, 1, [](double v, double) { return std::floor(v / 16) * 16; }, 0);
  each(RandOperation::posterize, 0, [](double v, double) { return v; }, 0);
  each(RandOperation::solarize, 0.5, [](double v, double) { return v >= 128 ? 255 - v : v; }, 0);
  each(RandOperation::solarize, 0, [](double v, double) { return v; }, 0);
  each(RandOperation::solarize, -1, [](double v, double) { return 255 - v; }, 0);
}

TEST(RandAugment, HistogramsAreStretchedAndFlattened) {
  const Image narrow = noise(3, 16, 16, 6, 100, 140);
  const Image stretched = applied(RandOperation::auto_contrast, 0, narrow);
  for (int c = 0; c < 3; ++c) {
    const auto [least, most] = std::minmax_element(stretched.plane(c), stretched.plane(c) + 256);
    EXPECT_EQ(*least, 0);
    EXPECT_EQ(*most, 255);
  }
  Image skewed(1, 64, 64);  // most values dark
  for (std::size_t i = 0; i < 4096; ++i) skewed.pixels[i] = static_cast<std::uint8_t>(255 * std::pow(static_cast<double>(i) / 4096, 1.3));
  const Image flat = applied(RandOperation::equalize, 0, skewed);
  std::array<int, 4> quarters{};
  for (const std::uint8_t v : flat.pixels) ++quarters[v / 64];
  for (const int count : quarters) EXPECT_NEAR(count, 1024, 110);
  for (const RandOperation operation : {RandOperation::auto_contrast, RandOperation::equalize})
    EXPECT_EQ(applied(operation, 0, flat_image(3, 5, 5, 77)).pixels, flat_image(3, 5, 5, 77).pixels);
}

TEST(RandAugment, SharpnessBlendsWithTheSmoothedPicture) {
  const Image image = noise(1, 6, 7, 7, 60, 180);
  for (const double strength : {-1.0, 1.0}) {
    const Image out = applied(RandOperation::sharpness, strength, image);
    for (int y = 0; y < 6; ++y)
      for (int x = 0; x < 7; ++x) {
        const auto at = [&](int r, int c) { return static_cast<double>(image.pixels[static_cast<std::size_t>(r * 7 + c)]); };
        double expected = at(y, x);
        if (y > 0 && x > 0 && y < 5 && x < 6) {
          double sum = 4 * at(y, x);
          for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j) sum += at(y + i, x + j);
          expected = std::clamp(sum / 13 + (at(y, x) - sum / 13) * (1 + 0.9 * strength), 0.0, 255.0);
        }
        ASSERT_NEAR(out.pixels[static_cast<std::size_t>(y * 7 + x)], expected, 0.51);
      }
  }
}

TEST(RandAugment, DrawsEveryOperationAndBothDirections) {
  const Image image = noise(3, 12, 12, 8, 10, 240);
  const auto text = [](const Image& i) { return std::string(i.pixels.begin(), i.pixels.end()); };
  std::map<std::string, std::string> known;
  for (int i = 0; i < kRandOperations; ++i)
    for (const double sign : {-1.0, 1.0})
      known[text(applied(static_cast<RandOperation>(i), sign * 0.5, image))] = std::string(to_string(static_cast<RandOperation>(i))) + (sign > 0 ? "+" : "-");
  std::map<std::string, int> seen;
  for (std::uint64_t i = 0; i < 2800; ++i) {
    Random random(9, {i});
    const Image out = augment(image, {.randaugment = 1, .randaugment_magnitude = 15}, random);
    ASSERT_TRUE(known.contains(text(out))) << "draw " << i;
    ++seen[known[text(out)]];
  }
  EXPECT_EQ(seen.size(), known.size());
  for (const auto& [name, count] : seen) EXPECT_GT(count, 60) << name;
}

TEST(RandAugment, WorksOnGreyAndTinyImages) {
  for (const auto& [channels, height, width] : {std::tuple{1, 28, 28}, {1, 1, 1}, {3, 2, 1}, {3, 1, 9}})
    for (std::uint64_t i = 0; i < 300; ++i) {
      Random random(10, {i});
      const Image out = augment(noise(channels, height, width, i), {.randaugment = 3, .randaugment_magnitude = 30}, random);
      ASSERT_EQ(out.channels, channels);
      ASSERT_EQ(out.pixels.size(), static_cast<std::size_t>(channels) * height * width);
    }
  EXPECT_THROW((AugmentOptions{.randaugment = 17}).validate(), Error);
  EXPECT_THROW((AugmentOptions{.randaugment_magnitude = 31}).validate(), Error);
}

}  // namespace
}  // namespace micromind
