#include "micromind/data/loader.h"

#include <chrono>
#include <ctime>
#include <numeric>
#include <set>
#include <thread>

#include "data/support.h"

namespace micromind {
namespace {

using testing::HasSubstr;

LoaderOptions busy_options() {
  return {
      .batch_size = 32,
      .shuffle = true,
      .seed = 5,
      .augment = {.horizontal_flip = true, .crop_padding = 4, .brightness = 0.2f, .erase_probability = 0.3f},
      .normalization = known_normalization("glyphs", 3)};
}

class LoaderTest : public testing::Test {
 protected:
  std::unique_ptr<Dataset> glyphs_ = open_dataset({.name = "glyphs", .limit = 500});
};

TEST_F(LoaderTest, ThreadsAndPrefetchDoNotChangeAByte) {
  LoaderOptions options = busy_options();
  Loader one(*glyphs_, options);
  options.threads = 4;
  options.prefetch = 7;
  Loader four(*glyphs_, options);
  for (const int epoch : {0, 3}) expect_same(epoch_of(one, epoch), epoch_of(four, epoch));
  EXPECT_NE(epoch_of(one, 0)[0].indices, epoch_of(one, 1)[0].indices);
  options.seed = 6;
  Loader other(*glyphs_, options);
  EXPECT_NE(epoch_of(one, 0)[0].indices, epoch_of(other, 0)[0].indices);
}

TEST_F(LoaderTest, EveryIndexOnceAndTheLastBatchIsShort) {
  Loader loader(*glyphs_, busy_options());
  EXPECT_EQ(loader.batches_per_epoch(), 16);
  const auto batches = epoch_of(loader, 0);
  std::multiset<std::int64_t> seen;
  for (const Batch& batch : batches) {
    EXPECT_EQ(batch.images.size(), static_cast<std::size_t>(batch.size) * 3072);
    for (std::size_t i = 0; i < batch.indices.size(); ++i) {
      seen.insert(batch.indices[i]);
      EXPECT_EQ(batch.labels[i], glyphs_->get(batch.indices[i]).label);
    }
  }
  EXPECT_EQ(batches.back().size, 500 - 15 * 32);
  EXPECT_EQ(seen.size(), 500u);
  EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), 500u);
  LoaderOptions options = busy_options();
  options.drop_last = true;
  Loader dropping(*glyphs_, options);
  EXPECT_EQ(dropping.batches_per_epoch(), 15);
  EXPECT_EQ(epoch_of(dropping, 0).size(), 15u);
}

TEST_F(LoaderTest, ResumesAndRestartsInMidEpoch) {
  LoaderOptions options = busy_options();
  options.threads = 3;
  Loader loader(*glyphs_, options);
  const auto whole = epoch_of(loader, 2);
  Batch batch;
  loader.start_epoch(9);
  ASSERT_TRUE(loader.next(batch));  // left behind
  expect_same({whole.begin() + 6, whole.end()}, epoch_of(loader, 2, 6));
  EXPECT_TRUE(epoch_of(loader, 2, 16).empty());
  EXPECT_THAT(error_of([&] { loader.start_epoch(0, 17); }), HasSubstr("[0, 16]"));
  EXPECT_THROW(loader.start_epoch(-1), Error);
  for (int i = 0; i < 200; ++i) {  // give up epochs at all moments
    loader.start_epoch(i);
    if (i % 3 == 0) loader.next(batch);
  }
  expect_same(whole, epoch_of(loader, 2));
}

TEST_F(LoaderTest, WithoutShuffleAndAugmentationGivesThePixels) {
  for (const bool last : {false, true}) {
    Loader loader(*glyphs_, {.batch_size = 8, .channels_last = last});
    Batch batch;
    EXPECT_THAT(error_of([&] { loader.next(batch); }), HasSubstr("start_epoch"));
    loader.start_epoch(0);
    ASSERT_TRUE(loader.next(batch));
    const Image image = glyphs_->get(5).image;
    EXPECT_EQ(batch.indices[5], 5);
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t i = 0; i < 1024; ++i)
        ASSERT_FLOAT_EQ(batch.images[5 * 3072 + (last ? i * 3 + c : c * 1024 + i)],
                        static_cast<float>(image.pixels[c * 1024 + i]) / 255.0f);
  }
}

TEST_F(LoaderTest, RanksShareTheOrder) {
  LoaderOptions options = busy_options();
  options.world_size = 3;
  std::multiset<std::int64_t> seen;
  std::set<std::size_t> counts;
  for (options.rank = 0; options.rank < 3; ++options.rank) {
    Loader loader(*glyphs_, options);
    std::size_t count = 0;
    for (const Batch& batch : epoch_of(loader, 1)) {
      seen.insert(batch.indices.begin(), batch.indices.end());
      count += batch.indices.size();
    }
    counts.insert(count);
  }
  EXPECT_EQ(counts, std::set<std::size_t>{167});  // 501: one sample twice
  EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), 500u);
}

/// Samples of which some cannot be had, or are of another shape.
class Faulty : public Dataset {
 public:
  enum Kind { kThrows, kForeign, kShape };
  explicit Faulty(Kind kind) : kind_(kind) {}
  std::int64_t size() const override { return 100; }
  const std::vector<std::string>& class_names() const override { return names_; }
  std::string describe() const override { return "faulty"; }
  Sample get(std::int64_t index) const override {
    if (index == 57 && kind_ == kThrows) fail("data", "picture 57 is broken");
    if (index == 57 && kind_ == kForeign) throw std::runtime_error("foreign trouble");
    return {Image(1, 4, index == 57 && kind_ == kShape ? 5 : 4), 0};
  }

 private:
  Kind kind_;
  std::vector<std::string> names_ = {"a"};
};

TEST(LoaderErrors, ReachNextAndCanBeLeftBehind) {
  const std::pair<Faulty::Kind, const char*> cases[] = {{Faulty::kThrows, "picture 57"},
                                                        {Faulty::kForeign, "foreign trouble"},
                                                        {Faulty::kShape, "sample 57 is 1x4x5"}};
  for (const auto& [kind, text] : cases) {
    const Faulty dataset(kind);
    Loader loader(dataset, {.batch_size = 10, .threads = 3});
    Batch batch;
    for (int epoch = 0; epoch < 2; ++epoch) {
      loader.start_epoch(epoch);
      for (int i = 0; i < 5; ++i) ASSERT_TRUE(loader.next(batch));
      for (int i = 0; i < 2; ++i) EXPECT_THAT(error_of([&] { loader.next(batch); }), HasSubstr(text));
    }
    loader.start_epoch(0, 6);
    EXPECT_TRUE(loader.next(batch));
  }
}

TEST(LoaderErrors, RefuseOptionsOutOfRange) {
  const Faulty dataset(Faulty::kThrows);
  for (const LoaderOptions& bad : {LoaderOptions{.batch_size = 0}, LoaderOptions{.threads = -1},
                                   LoaderOptions{.augment = {.crop_padding = -1}},
                                   LoaderOptions{.prefetch = 0}, LoaderOptions{.rank = 2, .world_size = 2}})
    EXPECT_THROW(Loader(dataset, bad), Error);
  Loader loader(dataset,
                {.normalization = {{0.0f, 0.0f}, {1.0f, 1.0f}}});  // two channels; the images have one
  Batch batch;
  loader.start_epoch(0);
  EXPECT_THAT(error_of([&] { loader.next(batch); }), HasSubstr("expected 1 means"));
}

TEST_F(LoaderTest, EndsCleanlyAtAnyMoment) {
  for (int i = 0; i < 100; ++i) {
    Loader loader(*glyphs_, {.batch_size = 50, .threads = 4});
    Batch batch;
    if (i % 3 > 0) loader.start_epoch(0);
    if (i % 3 > 1) loader.next(batch);
  }
}

TEST_F(LoaderTest, IdlesWithoutWork) {
  Loader loader(*glyphs_, {.batch_size = 10, .threads = 4});
  Batch batch;
  loader.start_epoch(0);
  loader.next(batch);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the prefetch is full by now
  const std::clock_t before = std::clock();                     // of all threads
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.05);
}

}  // namespace
}  // namespace micromind
