// Mixed batches and damaged files through the loader, with real image files.
#include <chrono>
#include <cmath>
#include <map>
#include <thread>

#include "data/support.h"
#include "micromind/data/loader.h"

namespace micromind {
namespace {

using testing::HasSubstr;

LoaderOptions everything() {
  return {.batch_size = 32,
          .shuffle = true,
          .seed = 5,
          .augment = {.horizontal_flip = true, .crop_padding = 4, .rotation_degrees = 10, .zoom = 0.1f, .saturation = 0.3f,
                      .erase_probability = 0.3f, .randaugment = 2},
          .mix = {.mixup = 0.4, .cutmix = 1, .probability = 0.7},
          .mix_epochs = 4};
}

TEST(MixedLoader, IsTheSameWhateverTheThreadsAndFromTheMiddle) {
  const auto glyphs = open_dataset({.name = "glyphs", .limit = 500});
  LoaderOptions options = everything();
  Loader one(*glyphs, options);
  const auto whole = epoch_of(one, 3);
  int mixed = 0;
  for (const Batch& batch : whole) mixed += batch.weights.empty() ? 0 : 1;
  EXPECT_GT(mixed, 6);
  EXPECT_LT(mixed, 16);
  for (const int threads : {0, 3}) {
    options.threads = threads;
    options.prefetch = 5;
    Loader other(*glyphs, options);
    expect_same(whole, epoch_of(other, 3));
    expect_same(std::span(whole).subspan(7), epoch_of(other, 3, 7));
  }
  for (const Batch& batch : epoch_of(one, 4)) EXPECT_TRUE(batch.weights.empty() && batch.other_labels.empty()) << "the plain epochs";
}

// An image is recognised by its value: pixel = index + 1 everywhere, of class index mod 4.
class Plain : public Dataset {
 public:
  std::int64_t size() const override { return 40; }
  const std::vector<std::string>& class_names() const override { return names_; }
  std::string describe() const override { return "plain"; }
  Sample get(std::int64_t index) const override { return {flat_image(2, 12, 10, static_cast<std::uint8_t>(index + 1)), static_cast<int>(index % 4)}; }

 private:
  std::vector<std::string> names_ = {"a", "b", "c", "d"};
};

TEST(MixedLoader, MixupIsTheWeightedSumOfTwoImagesAndTheirLabels) {
  const Plain plain;
  for (const bool last : {false, true}) {
    Loader loader(plain, {.batch_size = 8, .shuffle = true, .mix = {.mixup = 1}, .normalization = {{0.2f, 0.2f}, {0.5f, 0.5f}}, .channels_last = last});
    for (const Batch& batch : epoch_of(loader, 0))
      for (std::size_t i = 0; i < 8; ++i) {
        const double w = batch.weights[i];
        const double value = static_cast<double>(batch.images[i * 240]) * 0.5 + 0.2;  // the mixed pixel / 255
        const double partner = (value * 255 - w * static_cast<double>(batch.indices[i] + 1)) / (1 - w) - 1;
        for (std::size_t k = 1; k < 240; ++k) ASSERT_EQ(batch.images[i * 240 + k], batch.images[i * 240]);
        if (w > 0.9) continue;  // too little of the partner is left to tell it
        const auto index = std::llround(partner);
        ASSERT_NEAR(partner, static_cast<double>(index), 0.01);
        EXPECT_EQ(batch.other_labels[i], index % 4);
        EXPECT_NE(std::find(batch.indices.begin(), batch.indices.end(), index), batch.indices.end()) << "of the same batch";
        EXPECT_NE(index, batch.indices[i]);
      }
  }
}

TEST(MixedLoader, CutMixCoversExactlyTheShareOfTheTarget) {
  const Plain plain;
  for (const bool last : {false, true}) {
    Loader loader(plain, {.batch_size = 8, .shuffle = true, .mix = {.cutmix = 1}, .channels_last = last});
    int both = 0;
    for (int epoch = 0; epoch < 5; ++epoch)
      for (const Batch& batch : epoch_of(loader, epoch))
        for (std::size_t i = 0; i < 8; ++i) {
          std::map<long, int> counts;
          for (std::size_t k = 0; k < 240; ++k) ++counts[std::lround(batch.images[i * 240 + k] * 255) - 1];
          ASSERT_LE(counts.size(), 2u);
          const int own = counts[static_cast<long>(batch.indices[i])];
          ASSERT_EQ(batch.weights[i], static_cast<float>(1 - (240 - own) / 2 / 120.0));
          for (const auto& [index, count] : counts)
            if (index != batch.indices[i]) {
              EXPECT_EQ(index % 4, batch.other_labels[i]);
            }
          both += counts.size() == 2 && own > 0 ? 1 : 0;
        }
    EXPECT_GT(both, 120);
  }
}

TEST(MixedLoader, ABatchOfOneStaysAsItIs) {
  const Plain plain;
  Loader loader(plain, {.batch_size = 39, .mix = {.mixup = 1}});
  const auto batches = epoch_of(loader, 0);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[1].size, 1);
  EXPECT_TRUE(batches[1].weights.empty());
  EXPECT_FLOAT_EQ(batches[1].images[0], 40 / 255.0f);
}

// 60 JPEG files in two classes; every tenth is cut short.
class DamagedFolder : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 60; ++i) {
      const auto path = folder_.path() / "train" / (i % 2 != 0 ? "odd" : "even") / fmt::format("{:02}.jpg", i);
      write_image(path, flat_image(3, 16, 16, static_cast<std::uint8_t>(4 * i)));
      if (i % 10 != 3) continue;
      Bytes bytes = read_bytes(path);
      bytes.resize(bytes.size() - 4);
      write_atomic(path, bytes);
    }
    data_ = open_dataset({.name = "folder", .folder = folder_.path()});
  }

  TemporaryFolder folder_;
  std::unique_ptr<Dataset> data_;
};

TEST_F(DamagedFolder, FilesAreReplacedCountedAndNamedOnce) {
  LoaderOptions options{.batch_size = 8, .shuffle = true, .seed = 3, .augment = {.crop_padding = 2}, .mix = {.mixup = 1}, .on_damage = OnDamage::replace};
  Loader loader(*data_, options);
  const auto whole = epoch_of(loader, 1);
  ASSERT_EQ(whole.size(), 8u);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(whole[i].size, 8);
  for (const Batch& batch : whole)
    for (std::size_t i = 0; i < batch.indices.size(); ++i) {
      EXPECT_NO_THROW(data_->get(batch.indices[i])) << "only sound images";
      EXPECT_EQ(batch.labels[i], data_->label(batch.indices[i]));
    }
  EXPECT_EQ(loader.damaged_in_epoch(), 6);
  const auto told = loader.take_damaged();
  ASSERT_EQ(told.size(), 6u);
  EXPECT_THAT(told[0].reason, HasSubstr("3.jpg: truncated JPEG"));
  EXPECT_TRUE(loader.take_damaged().empty());
  epoch_of(loader, 2);
  EXPECT_EQ(loader.damaged_in_epoch(), 6);
  EXPECT_TRUE(loader.take_damaged().empty()) << "each file once";
  options.threads = 3;
  Loader three(*data_, options);
  expect_same(whole, epoch_of(three, 1));
  expect_same(std::span(whole).subspan(3), epoch_of(three, 1, 3));
}

TEST_F(DamagedFolder, FilesAreLeftOutOfEvaluation) {
  for (const std::int64_t size : {8, 1}) {  // with one image a batch, whole batches are missing
    Loader loader(*data_, {.batch_size = size, .threads = 2, .on_damage = OnDamage::leave_out});
    std::int64_t images = 0;
    for (const Batch& batch : epoch_of(loader, 0)) {
      EXPECT_GT(batch.size, 0);
      EXPECT_EQ(batch.images.size(), static_cast<std::size_t>(batch.size) * 768);
      images += batch.size;
    }
    EXPECT_EQ(images, 54);
  }
}

TEST_F(DamagedFolder, TooManyEndTheEpoch) {
  Loader loader(*data_, {.batch_size = 4, .on_damage = OnDamage::replace, .damaged_share = 0.05});
  Batch batch;
  for (int i = 0; i < 2; ++i) {
    loader.start_epoch(0);
    const std::string error = error_of([&] { while (loader.next(batch)) {} });
    EXPECT_THAT(error, HasSubstr("4 of the epoch's 60 images"));
    EXPECT_THAT(error, HasSubstr("03.jpg: truncated"));
    EXPECT_THAT(error, HasSubstr("raise data.damaged_share"));
    EXPECT_THROW(loader.next(batch), Error);
  }
  Loader strict(*data_, {.batch_size = 4});
  strict.start_epoch(0);
  EXPECT_THAT(error_of([&] { while (strict.next(batch)) {} }), HasSubstr("truncated JPEG"));
}

TEST_F(DamagedFolder, AllDamagedIsAnError) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path()))
    if (entry.is_regular_file()) write_atomic(entry.path(), Bytes{1, 2, 3});
  Loader loader(*data_, {.batch_size = 4, .on_damage = OnDamage::replace});
  Batch batch;
  loader.start_epoch(0);
  EXPECT_THAT(error_of([&] { loader.next(batch); }), HasSubstr("in place of a damaged one"));
  EXPECT_THAT(error_of([&] { first_image(*data_); }), HasSubstr("neither JPEG"));
  Loader leaving(*data_, {.batch_size = 4, .on_damage = OnDamage::leave_out});
  leaving.start_epoch(0);
  EXPECT_FALSE(leaving.next(batch));
}

TEST_F(DamagedFolder, TheShapeComesFromTheFirstSoundImage) {
  write_atomic(folder_.path() / "train" / "even" / "00.jpg", Bytes{});
  EXPECT_THROW(data_->get(0), Error);
  EXPECT_EQ(first_image(*data_).height, 16);
  EXPECT_EQ(class_counts(*data_), (std::vector<std::int64_t>{30, 30}));
}

TEST(Loader, CountsTheTimeThatItsConsumerWaits) {
  struct Slow : Plain {
    Sample get(std::int64_t index) const override {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      return Plain::get(index);
    }
  };
  const Slow slow;
  Loader loader(slow, {.batch_size = 10});
  EXPECT_EQ(loader.waited_seconds(), 0);
  epoch_of(loader, 0);
  EXPECT_GT(loader.waited_seconds(), 0.05);
  const double before = loader.waited_seconds();
  Batch batch;
  loader.start_epoch(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));  // all is prepared meanwhile
  for (int i = 0; i < 4; ++i) loader.next(batch);
  EXPECT_LT(loader.waited_seconds() - before, 0.02);
}

}  // namespace
}  // namespace micromind
