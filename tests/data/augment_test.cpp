#include "micromind/data/augment.h"

#include <set>

#include "data/support.h"

namespace micromind {
namespace {

using testing::HasSubstr;

Image ramp(int channels, int height, int width) {  // every pixel another value, none zero
  Image image(channels, height, width);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(1 + i % 255);
  return image;
}

TEST(Augment, NothingAskedForChangesNothing) {
  const Image image = ramp(3, 5, 4);
  Random random(1);
  EXPECT_EQ(augment(image, {}, random).pixels, image.pixels);
  EXPECT_FALSE(AugmentOptions{}.any());
  EXPECT_EQ(random.next(), Random(1).next());  // and draws nothing
}

TEST(Augment, FlipMirrorsHalfOfTheTime) {
  const Image image = ramp(2, 3, 5);
  Image mirrored = image;
  for (int c = 0; c < 2; ++c)
    for (int y = 0; y < 3; ++y) std::reverse(mirrored.plane(c) + y * 5, mirrored.plane(c) + y * 5 + 5);
  int flips = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    Random random(1, {i});
    const Image out = augment(image, {.horizontal_flip = true}, random);
    if (out.pixels == mirrored.pixels)
      ++flips;
    else
      ASSERT_EQ(out.pixels, image.pixels);
  }
  EXPECT_NEAR(flips, 500, 60);
}

TEST(Augment, CropIsAWindowOfThePaddedImage) {
  const int padding = 2, side = 6;
  const Image image = ramp(1, side, side);
  const auto padded = [&](int y, int x) {
    return y < 0 || x < 0 || y >= side || x >= side ? 0
                                                    : image.pixels[static_cast<std::size_t>(y * side + x)];
  };
  std::set<int> places;
  for (std::uint64_t i = 0; i < 600; ++i) {
    Random random(2, {i});
    const Image out = augment(image, {.crop_padding = padding}, random);
    int found = -1;
    for (int place = 0; place < 25; ++place) {
      bool same = true;
      for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x)
          same = same && out.pixels[static_cast<std::size_t>(y * side + x)] ==
                             padded(y + place / 5 - 2, x + place % 5 - 2);
      if (same) found = place;
    }
    ASSERT_GE(found, 0);
    places.insert(found);
  }
  EXPECT_EQ(places.size(), 25u);
  for (std::uint64_t i = 0; i < 50;
       ++i) {  // padding beyond the image: black now and then, never out of bounds
    Random random(3, {i});
    EXPECT_EQ(augment(image, {.horizontal_flip = true, .crop_padding = 20}, random).pixels.size(), 36u);
  }
}

TEST(Augment, TurnsAndZoomsAboutTheCentre) {
  Image image(1, 9, 9);
  image.pixels[4 * 9 + 4] = 200;
  for (std::uint64_t i = 0; i < 50; ++i) {
    Random random(4, {i});
    const Image out = augment(image, {.rotation_degrees = 90, .zoom = 0.3f}, random);
    EXPECT_EQ(out.pixels[4 * 9 + 4], 200);
  }
  Random random(4);
  EXPECT_EQ(augment(flat_image(3, 8, 6, 90), {.rotation_degrees = 180, .zoom = 0.5f}, random).pixels,
            std::vector<std::uint8_t>(144, 90));
}

TEST(Augment, ColoursStayInRangeAndGreyStaysGrey) {
  for (std::uint64_t i = 0; i < 100; ++i) {
    Random random(5, {i});
    const Image out =
        augment(flat_image(3, 4, 4, 128), {.brightness = 0.4f, .contrast = 0.4f, .saturation = 0.4f}, random);
    EXPECT_EQ(out.pixels[0], out.pixels[16]);
    EXPECT_EQ(out.pixels[0], out.pixels[32]);
    EXPECT_GE(out.pixels[0], 128 * 0.6 - 1);
    EXPECT_LE(out.pixels[0], 128 * 1.4 + 1);
  }
  Random random(6);
  const Image image = ramp(3, 4, 4);
  EXPECT_NE(augment(image, {.saturation = 1}, random).pixels, image.pixels);
}

TEST(Augment, ErasesARectangle) {
  int erased = 0;
  Image image(1, 32, 32);
  for (std::size_t i = 0; i < 1024; ++i)
    image.pixels[i] = i % 2 != 0 ? 255 : 0;  // the mean, 127, does not occur
  for (std::uint64_t i = 0; i < 400; ++i) {
    Random random(7, {i});
    const Image out = augment(image, {.erase_probability = 0.5f}, random);
    const auto count = std::count(out.pixels.begin(), out.pixels.end(), 127);
    if (count == 0) continue;
    ++erased;
    EXPECT_GE(count, 1024 * 0.02 - 12);
    EXPECT_LE(count, 1024 * 0.33 + 40);
  }
  EXPECT_NEAR(erased, 200, 40);
}

TEST(Augment, RefusesOptionsOutOfRange) {
  for (const AugmentOptions& bad :
       {AugmentOptions{.crop_padding = -1}, AugmentOptions{.rotation_degrees = 181},
        AugmentOptions{.zoom = 1}, AugmentOptions{.brightness = 2},
        AugmentOptions{.erase_probability = std::nanf("")}})
    EXPECT_THROW(bad.validate(), Error);
}

TEST(Normalize, BothLayoutsHoldTheFormula) {
  const Image image = ramp(3, 2, 3);
  const Normalization n{{0.1f, 0.2f, 0.3f}, {0.5f, 0.6f, 0.7f}};
  std::vector<float> chw(18), hwc(18);
  to_float(image, n, chw.data());
  to_float(image, n, hwc.data(), true);
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t i = 0; i < 6; ++i) {
      const float expected =
          (static_cast<float>(image.pixels[c * 6 + i]) / 255.0f - n.mean[c]) / n.deviation[c];
      EXPECT_FLOAT_EQ(chw[c * 6 + i], expected);
      EXPECT_FLOAT_EQ(hwc[i * 3 + c], expected);
    }
  EXPECT_THAT(error_of([&] { to_float(ramp(1, 2, 2), n, chw.data()); }), HasSubstr("expected 1 means"));
  EXPECT_THROW(to_float(ramp(1, 2, 2), {{0.0f}, {0.0f}}, chw.data()), Error);
}

TEST(Normalize, KnownConstantsFitTheChannels) {
  for (const DatasetInfo& info : known_datasets())
    for (const int channels : {1, 3}) known_normalization(info.name, channels).validate(channels);
  EXPECT_FLOAT_EQ(known_normalization("mnist", 3).mean[2], 0.1307f);
  EXPECT_FLOAT_EQ(known_normalization("folder", 3).mean[0], 0.485f);
  const Normalization measured = measure_normalization(*open_dataset({.name = "glyphs"}), 500);
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(measured.mean[c], 0.5, 0.05);
    EXPECT_NEAR(measured.deviation[c], 0.28, 0.05);
  }
}

}  // namespace
}  // namespace micromind
