#include <set>

#include "data/support.h"
#include "micromind/base/random.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Image noise_image(int channels, int height, int width, std::uint64_t seed) {
  Image image(channels, height, width);
  Random random(seed);
  for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(random.below(256));
  return image;
}

void fill_class(const fs::path& folder, int count, std::uint8_t value) {
  for (int i = 0; i < count; ++i)
    write_image(folder / (std::to_string(i) + ".png"), flat_image(3, 20, 30, value));
}

TEST(Image, PngRoundTripsAndJpegComesNear) {
  TemporaryFolder folder;
  for (const int channels : {1, 3}) {
    const Image image = noise_image(channels, 13, 7, 1);
    write_image(folder.path() / "a.png", image);
    const Image back = read_image(folder.path() / "a.png", channels);
    EXPECT_EQ(back.pixels, image.pixels);
    EXPECT_EQ(back.height, 13);
    EXPECT_EQ(back.width, 7);
  }
  Image red(3, 16, 16);
  std::fill_n(red.plane(0), 256, std::uint8_t{200});
  write_image(folder.path() / "a.jpg", red);
  const Image back = read_image(folder.path() / "a.jpg");
  EXPECT_NEAR(back.plane(0)[100], 200, 8);
  EXPECT_NEAR(back.plane(2)[100], 0, 8);
  EXPECT_THAT(error_of([&] { write_image(folder.path() / "a.gif", red); }), HasSubstr("'.gif'"));
}

TEST(Image, RefusesBrokenBytesNamingThePath) {
  TemporaryFolder folder;
  const auto error_for = [](const Bytes& bytes) { return error_of([&] { decode_image(bytes, "x.bin"); }); };
  for (const char* kind : {"a.png", "a.jpg"}) {
    write_image(folder.path() / kind, noise_image(3, 40, 40, 2));
    const Bytes whole = read_bytes(folder.path() / kind);
    EXPECT_EQ(error_for(whole), "no error");
    for (const std::size_t size : {std::size_t{9}, std::size_t{40}, whole.size() / 2, whole.size() - 3})
      EXPECT_THAT(error_for(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
                  HasSubstr("x.bin"))
          << kind << size;
    Random random(3);
    for (int i = 0; i < 200; ++i) {  // any damage gives an image or an Error, nothing else
      Bytes damaged = whole;
      for (int k = 0; k < 3; ++k)
        damaged[random.below(static_cast<std::uint32_t>(whole.size()))] ^=
            static_cast<std::uint8_t>(1 + random.below(255));
      const std::string error = error_for(damaged);
      if (std::string(kind) == "a.png") {
        EXPECT_NE(error, "no error");
      } else if (error != "no error") {
        EXPECT_THAT(error, HasSubstr("x.bin"));
      }
    }
  }
  Bytes large = read_bytes(folder.path() / "a.jpg");
  for (std::size_t i = 0; i + 9 < large.size(); ++i)  // the frame header: claim 65535 x 65535
    if (large[i] == 0xFF && large[i + 1] == 0xC0) {
      std::fill_n(large.begin() + static_cast<std::ptrdiff_t>(i) + 5, 4, std::uint8_t{0xFF});
      break;
    }
  EXPECT_THAT(error_for(large), HasSubstr("65535x65535"));
  EXPECT_THAT(error_for({}), HasSubstr("empty"));
  const std::string text = "this is no image at all";
  EXPECT_THAT(error_for(Bytes(text.begin(), text.end())), HasSubstr("neither JPEG, PNG"));
  EXPECT_THROW(read_image(folder.path() / "absent.png"), Error);
}

TEST(Image, ResizesTheShorterSideAndCropsTheCentre) {
  Image image(1, 20, 40);  // columns 0-9 black, 10-29 grey, 30-39 white
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 40; ++x)
      image.pixels[static_cast<std::size_t>(y * 40 + x)] = static_cast<std::uint8_t>(x < 10   ? 0
                                                                                     : x < 30 ? 100
                                                                                              : 255);
  const Image small = resize_cover(image, 10), large = resize_cover(image, 60);
  EXPECT_EQ(small.pixels, std::vector<std::uint8_t>(100, 100));
  EXPECT_EQ(large.height, 60);
  EXPECT_EQ(large.width, 60);
  EXPECT_EQ(large.pixels[60 * 30 + 30], 100);
  const Image grey = convert_channels(flat_image(3, 2, 2, 77), 1);
  EXPECT_EQ(grey.pixels, std::vector<std::uint8_t>(4, 77));
  EXPECT_EQ(convert_channels(grey, 3).pixels, std::vector<std::uint8_t>(12, 77));
  EXPECT_THROW(convert_channels(grey, 2), Error);
  EXPECT_THROW(resize_cover(grey, 0), Error);
}

TEST(Folder, ReadsTrainValidationAndTestFolders) {
  TemporaryFolder folder;
  const fs::path root = folder.path();
  fill_class(root / "train" / "dog", 4, 10);
  fill_class(root / "train" / "cat", 6, 20);
  fill_class(root / "val" / "dog", 2, 30);
  fill_class(root / "test" / "cat", 3, 40);
  write_atomic(root / "train" / "dog" / "notes.txt", std::string_view("not an image"));
  DatasetOptions options{.name = "folder", .folder = root, .image_size = 8};
  const auto train = open_dataset(options);
  EXPECT_THAT(train->class_names(), ElementsAre("cat", "dog"));
  EXPECT_EQ(train->size(), 10);
  const Sample last = train->get(9);
  EXPECT_EQ(last.label, 1);
  EXPECT_EQ(last.image.pixels, std::vector<std::uint8_t>(3 * 8 * 8, 10));
  options.split = DataSplit::validation;
  EXPECT_EQ(open_dataset(options)->size(), 2);
  EXPECT_EQ(open_dataset(options)->get(0).label,
            1);  // the training part's number, though "dog" is alone here
  options.split = DataSplit::test;
  options.channels = 1;
  EXPECT_EQ(open_dataset(options)->get(0).image.pixels, std::vector<std::uint8_t>(64, 40));
  options.split = DataSplit::validation;
  options.validation_share = 0.5;
  EXPECT_EQ(open_dataset(options)->size(), 5);
  fill_class(root / "test" / "bird", 1, 1);
  options.split = DataSplit::test;
  EXPECT_THAT(error_of([&] { open_dataset(options); }), AllOf(HasSubstr("'bird'"), HasSubstr("cat, dog")));
}

TEST(Folder, SplitsPlainClassFoldersByHash) {
  TemporaryFolder folder;
  for (const char* name : {"a", "b", "c"})
    for (int i = 0; i < 20; ++i)
      write_image(folder.path() / name / (std::to_string(i) + ".png"),
                  flat_image(1, 4, 4, static_cast<std::uint8_t>(name[0] - 'a' + 3 * i)));
  std::set<int> seen[2];
  for (const DataSplit split : {DataSplit::train, DataSplit::test}) {
    const auto part = open_dataset({.name = "folder", .folder = folder.path(), .split = split, .seed = 9});
    EXPECT_EQ(part->size(), split == DataSplit::train ? 48 : 12);
    for (std::int64_t i = 0; i < part->size(); ++i) {
      const Sample sample = part->get(i);
      EXPECT_EQ(sample.image.pixels[0] % 3, sample.label);
      seen[split == DataSplit::test].insert(sample.image.pixels[0]);
    }
    const auto again = open_dataset({.name = "folder", .folder = folder.path(), .split = split, .seed = 10});
    EXPECT_EQ(again->get(5).image.pixels, part->get(5).image.pixels);
  }
  std::set<int> both = seen[0];
  both.insert(seen[1].begin(), seen[1].end());
  EXPECT_EQ(both.size(), 60u);
}

TEST(Folder, SaysWhatIsWrong) {
  TemporaryFolder folder;
  const fs::path root = folder.path();
  const auto open = [&](DataSplit split = DataSplit::train) {
    return error_of([&] { open_dataset({.name = "folder", .folder = root, .split = split}); });
  };
  EXPECT_THAT(open(), HasSubstr("no class folder"));
  fs::create_directories(root / "cat");
  EXPECT_THAT(open(), AllOf(HasSubstr("cat"), HasSubstr("no image")));
  fill_class(root / "cat", 1, 0);
  EXPECT_THAT(open(), HasSubstr("one image"));
  fill_class(root / "train" / "cat", 2, 0);
  EXPECT_THAT(open(DataSplit::test), HasSubstr("neither a folder test nor val"));
  write_atomic(root / "train" / "cat" / "bad.jpg", std::string_view("\xFF\xD8\xFF nonsense"));
  const auto dataset = open_dataset({.name = "folder", .folder = root});
  ASSERT_EQ(dataset->size(), 3);
  EXPECT_THAT(error_of([&] { dataset->get(2); }), HasSubstr("bad.jpg"));
  TemporaryFolder lone;
  fill_class(lone.path() / "test" / "cat", 2, 0);
  EXPECT_THAT(error_of([&] { open_dataset({.name = "folder", .folder = lone.path()}); }),
              HasSubstr("train does not"));
  EXPECT_THAT(error_of([&] { open_dataset({.name = "folder", .folder = root / "nowhere"}); }),
              HasSubstr("is not a folder"));
}

}  // namespace
}  // namespace micromind
