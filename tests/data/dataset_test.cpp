#include <array>
#include <map>
#include <set>

#include "data/support.h"
#include "micromind/base/process.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::vector<int> histogram(const Dataset& dataset) {
  std::vector<int> counts(dataset.class_names().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i)
    ++counts.at(static_cast<std::size_t>(dataset.get(i).label));
  return counts;
}

std::set<std::string> contents(const Dataset& dataset) {
  std::set<std::string> all;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto pixels = dataset.get(i).image.pixels;
    all.emplace(pixels.begin(), pixels.end());
  }
  return all;
}

/// Replaces a small MNIST's file by `content` and returns what opening the training part says.
std::string mnist_error(const fs::path& folder, const std::string& file, const Bytes& content) {
  write_small_mnist(folder, 50, 20);
  write_atomic(folder / file, content);
  return error_of([&] { open_dataset({.name = "mnist", .folder = folder}); });
}

TEST(Registry, NamesTheNearestDataSetAndChecksOptions) {
  EXPECT_THAT(error_of([] { open_dataset({.name = "cifar-10"}); }),
              AllOf(HasSubstr("cifar-10"), HasSubstr("did you mean 'cifar10'")));
  EXPECT_THAT(error_of([] { open_dataset({.name = "glyphs", .channels = 4}); }), HasSubstr("found 4"));
  EXPECT_THAT(error_of([] { open_dataset({.name = "glyphs", .image_size = -1}); }), HasSubstr("found -1"));
  EXPECT_THAT(error_of([] { open_dataset({.name = "glyphs", .validation_share = 1}); }), HasSubstr("[0, 1)"));
  EXPECT_THAT(error_of([] { open_dataset({.name = "glyphs", .limit = -5}); }), HasSubstr("found -5"));
  EXPECT_THAT(error_of([] { open_dataset({.name = "folder"}); }), HasSubstr("no folder is given"));
  EXPECT_THAT(error_of([] { open_dataset({.name = "mnist", .folder = "/nonexistent"}); }),
              HasSubstr("micromind data get mnist"));
  EXPECT_EQ(parse_split("validation"), DataSplit::validation);
  EXPECT_THAT(error_of([] { parse_split("tset"); }), HasSubstr("test"));
  std::set<std::string> names;
  for (const DatasetInfo& info : known_datasets()) {
    EXPECT_TRUE(names.insert(info.name).second);
    EXPECT_FALSE(info.what.empty() || info.licence.empty());
    EXPECT_EQ(info.downloadable(), !info.files.empty());
  }
  EXPECT_EQ(names.size(), 6u);
}

TEST(Idx, ReadsGzippedAndPlainFilesToTheByte) {
  TemporaryFolder folder;
  write_small_mnist(folder.path(), 50, 20);
  const auto train = open_dataset({.name = "mnist", .folder = folder.path()});
  ASSERT_EQ(train->size(), 50);
  const Sample third = train->get(3);
  EXPECT_EQ(third.label, 3);
  ASSERT_EQ(third.image.pixels.size(), 784u);
  for (std::size_t i = 0; i < 784; ++i) ASSERT_EQ(third.image.pixels[i], (3 * 784 + i) % 251);
  EXPECT_EQ(open_dataset({.name = "mnist", .folder = folder.path(), .split = DataSplit::test})->size(), 20);
  EXPECT_EQ(open_dataset({.name = "mnist", .folder = folder.path(), .split = DataSplit::validation})->size(), 20);
  EXPECT_THAT(error_of([&] { train->get(50); }), HasSubstr("[0, 50)"));
  EXPECT_THROW(train->get(-1), Error);
  const auto converted =
      open_dataset({.name = "mnist", .folder = folder.path(), .image_size = 14, .channels = 3});
  EXPECT_EQ(converted->get(0).image.channels, 3);
  EXPECT_EQ(converted->get(0).image.width, 14);
}

TEST(Idx, SaysWhatIsWrongWithAFile) {
  TemporaryFolder folder;
  const std::string images = "train-images-idx3-ubyte.gz", labels = "train-labels-idx1-ubyte.gz";
  Bytes good = idx_bytes({50, 28, 28}, 251), cut(good.begin(), good.end() - 100), magic = good;
  magic[2] = 13;
  EXPECT_THAT(mnist_error(folder.path(), images, gzip(cut)),
              AllOf(HasSubstr(images), HasSubstr("39216"), HasSubstr("found 39116")));
  EXPECT_THAT(mnist_error(folder.path(), images, gzip(magic)),
              AllOf(HasSubstr("00 00 08 03"), HasSubstr("00 00 0d 03")));
  EXPECT_THAT(mnist_error(folder.path(), images, gzip({0, 0, 8})), HasSubstr("header of 16 bytes, found 3"));
  EXPECT_THAT(mnist_error(folder.path(), images, {}), HasSubstr("found 0"));
  EXPECT_THAT(mnist_error(folder.path(), images, gzip(idx_bytes({50, 28, 27}, 9))), HasSubstr("found 28x27"));
  EXPECT_THAT(mnist_error(folder.path(), images, gzip(idx_bytes({0, 28, 28}, 9))), HasSubstr("dimension 0"));
  EXPECT_THAT(mnist_error(folder.path(), labels, gzip(idx_bytes({49}, 10))),
              AllOf(HasSubstr("50 images"), HasSubstr("49 labels")));
  EXPECT_THAT(mnist_error(folder.path(), labels, gzip(idx_bytes({50}, 11))),
              AllOf(HasSubstr("item 10"), HasSubstr("found 10")));
  Bytes huge(16, 0xFF);
  huge[0] = huge[1] = 0, huge[2] = 8, huge[3] = 3;
  EXPECT_THAT(mnist_error(folder.path(), images, gzip(huge)), HasSubstr("not a sound header"));
  Bytes packed = gzip(good);
  packed.resize(packed.size() / 2);
  EXPECT_THAT(mnist_error(folder.path(), images, packed), AllOf(HasSubstr(images), HasSubstr("truncated")));
  packed = gzip(good);
  packed[packed.size() - 6] ^= 1;  // the stored CRC
  EXPECT_THAT(mnist_error(folder.path(), images, packed), HasSubstr("not a sound gzip"));
}

TEST(Selection, HoldsOutPerClassAndLimitsInBalance) {
  TemporaryFolder folder;
  write_small_mnist(folder.path(), 200, 20);
  DatasetOptions options{.name = "mnist", .folder = folder.path(), .validation_share = 0.1, .seed = 4};
  const auto train = open_dataset(options);
  options.split = DataSplit::validation;
  const auto held = open_dataset(options);
  EXPECT_EQ(histogram(*train), std::vector<int>(10, 18));
  EXPECT_EQ(histogram(*held), std::vector<int>(10, 2));
  auto all = contents(*train);
  all.merge(contents(*held));
  EXPECT_EQ(all, contents(*open_dataset({.name = "mnist", .folder = folder.path()})));
  EXPECT_EQ(contents(*held), contents(*open_dataset(options)));
  options.seed = 5;
  EXPECT_NE(contents(*held), contents(*open_dataset(options)));

  options = {.name = "mnist", .folder = folder.path(), .limit = 35, .seed = 4};
  const auto some = open_dataset(options);
  EXPECT_EQ(histogram(*some), (std::vector<int>{4, 4, 4, 4, 4, 3, 3, 3, 3, 3}));
  options.limit = 50;
  const auto more = open_dataset(options);
  for (std::int64_t i = 0; i < 35; ++i) ASSERT_EQ(some->get(i).image.pixels, more->get(i).image.pixels) << i;
  options.limit = 100000;
  EXPECT_EQ(open_dataset(options)->size(), 200);
}

/// A whole CIFAR-10 in little: labels i mod 10, the pixels of record i all i mod 256.
void write_cifar10(const fs::path& folder) {
  Bytes bytes(10000 * 3073);
  for (std::size_t i = 0; i < 10000; ++i) {
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(i * 3073), 3073, static_cast<std::uint8_t>(i));
    bytes[i * 3073] = static_cast<std::uint8_t>(i % 10);
  }
  for (const char* name :
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
    write_atomic(folder / (std::string(name) + ".bin"), bytes);
}

TEST(Cifar, ReadsBothLayoutsAndRefusesDamage) {
  TemporaryFolder folder;
  const fs::path sub = folder.path() / "cifar-10-batches-bin";
  write_cifar10(sub);
  for (const fs::path& place : {folder.path(), sub}) {
    const auto train = open_dataset({.name = "cifar10", .folder = place, .limit = 100});
    EXPECT_EQ(train->size(), 100);
    EXPECT_EQ(histogram(*train), std::vector<int>(10, 10));
  }
  const auto test = open_dataset({.name = "cifar10", .folder = sub, .split = DataSplit::test});
  EXPECT_EQ(test->size(), 10000);
  EXPECT_EQ(test->get(777).image.pixels, std::vector<std::uint8_t>(3072, 777 % 256));
  EXPECT_EQ(test->get(777).label, 7);
  Bytes bytes = read_bytes(sub / "test_batch.bin");
  bytes[5 * 3073] = 10;
  write_atomic(sub / "test_batch.bin", bytes);
  const auto open_test = [&] { open_dataset({.name = "cifar10", .folder = sub, .split = DataSplit::test}); };
  EXPECT_THAT(error_of(open_test),
              AllOf(HasSubstr("test_batch.bin"), HasSubstr("record 5"), HasSubstr("found 10")));
  bytes.resize(bytes.size() - 3073);
  write_atomic(sub / "test_batch.bin", bytes);
  EXPECT_THAT(error_of(open_test), AllOf(HasSubstr("30730000"), HasSubstr("found 30726927")));
  fs::remove(sub / "data_batch_3.bin");
  EXPECT_THAT(error_of([&] { open_dataset({.name = "cifar10", .folder = sub}); }),
              HasSubstr("data_batch_3.bin"));
}

TEST(Cifar, SaysHowToUnpackTheJpegArchive) {
  TemporaryFolder folder;
  write_atomic(folder.path() / "cifar-10-images-q75.tar.xz", std::string_view("x"));
  EXPECT_THAT(error_of([&] { open_dataset({.name = "cifar10", .folder = folder.path()}); }),
              AllOf(HasSubstr("jpeg_to_bin.py OUT"), HasSubstr("tar -xJf")));
}

TEST(Cifar, Reads100FineClasses) {
  TemporaryFolder folder;
  Bytes bytes(10000 * 3074);
  for (std::size_t i = 0; i < 10000; ++i) {
    bytes[i * 3074] = 19;  // coarse
    bytes[i * 3074 + 1] = static_cast<std::uint8_t>(i % 100);
    bytes[i * 3074 + 2] = static_cast<std::uint8_t>(i % 200);
  }
  write_atomic(folder.path() / "test.bin", bytes);
  const auto test = open_dataset({.name = "cifar100", .folder = folder.path(), .split = DataSplit::test});
  const Sample sample = test->get(123);
  EXPECT_EQ(sample.label, 23);
  EXPECT_EQ(sample.image.pixels[0], 123);
  const auto& names = test->class_names();
  ASSERT_EQ(names.size(), 100u);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(names[0], "apple");
  EXPECT_EQ(names[99], "worm");
  bytes[1] = 100;
  write_atomic(folder.path() / "test.bin", bytes);
  EXPECT_THAT(
      error_of([&] { open_dataset({.name = "cifar100", .folder = folder.path(), .split = DataSplit::test}); }),
      HasSubstr("found 100"));
}

TEST(RealData, MnistHasItsKnownCounts) {
  const fs::path folder = data_folder() / "mnist";
  if (!fs::exists(folder / "train-images-idx3-ubyte.gz")) GTEST_SKIP() << "no MNIST in " << folder;
  const auto train = open_dataset({.name = "mnist"});
  EXPECT_EQ(histogram(*train),
            (std::vector<int>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}));
  const auto test = open_dataset({.name = "mnist", .split = DataSplit::test});
  EXPECT_EQ(histogram(*test), (std::vector<int>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}));
  double sum = 0;
  for (std::int64_t i = 0; i < train->size(); ++i)
    for (const std::uint8_t p : train->get(i).image.pixels) sum += p;
  EXPECT_NEAR(sum / (60000.0 * 784 * 255), 0.1307, 0.0001);
}

TEST(RealData, CifarReadsItsJpegImages) {
  const fs::path archive = data_folder() / "cifar10" / "cifar-10-images-q75.tar.xz";
  if (!fs::exists(archive) || !find_program("xz")) GTEST_SKIP() << "no " << archive << " or no xz";
  TemporaryFolder folder;
  const ProcessResult tar =
      run_process({"tar", "-xJf", archive.string(), "-C", folder.path().string(), "test"});
  ASSERT_EQ(tar.exit_status, 0) << tar.err;
  const auto test = open_dataset({.name = "cifar10", .folder = folder.path(), .split = DataSplit::test});
  EXPECT_EQ(histogram(*test), std::vector<int>(10, 1000));
  std::array<double, 3> mean{};
  for (std::int64_t i = 0; i < test->size(); ++i) {
    const Image image = test->get(i).image;
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t k = 0; k < 1024; ++k) mean[c] += image.pixels[c * 1024 + k] / (255.0 * 1024 * 10000);
  }
  EXPECT_NEAR(mean[0], 0.494, 0.01);  // red, green, blue in this order
  EXPECT_NEAR(mean[1], 0.485, 0.01);
  EXPECT_NEAR(mean[2], 0.450, 0.01);
}

}  // namespace
}  // namespace micromind
