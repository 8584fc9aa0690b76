#include <atomic>
#include <thread>

#include "data/support.h"
#include "micromind/data/glyph_render.h"

namespace micromind {
namespace {

TEST(Glyphs, DependOnSeedSplitAndIndexAlone) {
  const auto a = open_dataset({.name = "glyphs", .seed = 1}), b = open_dataset({.name = "glyphs", .seed = 1});
  const auto other = open_dataset({.name = "glyphs", .seed = 2});
  const auto test = open_dataset({.name = "glyphs", .split = DataSplit::test, .seed = 1});
  ASSERT_EQ(a->size(), 20000);
  ASSERT_EQ(test->size(), 2000);
  for (const std::int64_t i : {19999, 0, 777}) {
    EXPECT_EQ(a->get(i).image.pixels, b->get(i).image.pixels);
    EXPECT_EQ(a->get(i).image.pixels, a->get(i).image.pixels);  // drawn, then kept
    EXPECT_NE(a->get(i).image.pixels, other->get(i).image.pixels);
    EXPECT_NE(a->get(i % 2000).image.pixels, test->get(i % 2000).image.pixels);
  }
  // The same picture whatever part of the set it is opened in.
  std::vector<std::uint8_t> direct(kGlyphBytes);
  render_glyph(1, 0, 777, 7, direct);
  EXPECT_EQ(a->get(777).image.pixels, direct);
  EXPECT_THROW(render_glyph(1, 0, 777, 10, direct), Error);
}

TEST(Glyphs, ThreadsSeeTheSamePicturesAsOne) {
  const auto alone = open_dataset({.name = "glyphs", .limit = 400}),
             shared = open_dataset({.name = "glyphs", .limit = 400});
  std::vector<std::jthread> threads;
  std::atomic<int> differences{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (std::int64_t i = 0; i < 400; ++i)
        if (shared->get(i).image.pixels != alone->get(i).image.pixels) ++differences;
    });
  threads.clear();
  EXPECT_EQ(differences, 0);
}

TEST(Glyphs, ArePicturesOfSomething) {
  const auto dataset = open_dataset({.name = "glyphs", .limit = 1000});
  EXPECT_EQ(dataset->class_names().size(), 10u);
  double mean = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const Image image = dataset->get(i).image;
    double sum = 0, square = 0;
    for (const std::uint8_t p : image.pixels) sum += p, square += p * p;
    sum /= kGlyphBytes;
    EXPECT_GT(square / kGlyphBytes - sum * sum, 4.0) << i;  // never flat
    mean += sum / 1000;
  }
  EXPECT_NEAR(mean / 255, 0.5, 0.03);
}

TEST(Glyphs, MakeAContactSheet) {
  TemporaryFolder folder;
  const auto dataset = open_dataset({.name = "glyphs", .split = DataSplit::test});
  std::vector<Image> images;
  for (std::int64_t i = 0; i < 100; ++i) images.push_back(dataset->get(i).image);
  write_image(folder.path() / "sheet.png", contact_sheet(images, 10));
  const Image back = read_image(folder.path() / "sheet.png");
  EXPECT_EQ(back.width, 10 * 34 + 2);
  EXPECT_EQ(back.height, 10 * 34 + 2);
  EXPECT_EQ(back.plane(1)[(2 + 34) * back.width + 2 + 34], images[11].plane(1)[0]);
  images.back() = Image(3, 8, 8);
  EXPECT_THROW(contact_sheet(images, 10), Error);
  EXPECT_THROW(contact_sheet({}, 10), Error);
}

}  // namespace
}  // namespace micromind
