// How many pictures a second one thread augments, the loader prepares, and how long a trainer waits for it.
//
//   bench_data --benchmark_filter=Augment     # images a second of processor time; at 160 pixels with decoding of JPEG files
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "micromind/base/file.h"
#include "micromind/data/dataset.h"
#include "micromind/data/loader.h"
#include "micromind/data/randaugment.h"

namespace micromind {
namespace {

void BM_DrawGlyphs(benchmark::State& state) {
  std::uint64_t seed = 1;
  for (auto _ : state) {
    const auto glyphs = open_dataset({.name = "glyphs", .limit = 1000, .seed = seed++});  // pictures are kept: a new set each time
    for (std::int64_t i = 0; i < glyphs->size(); ++i) benchmark::DoNotOptimize(glyphs->get(i));
  }
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(BM_DrawGlyphs)->Unit(benchmark::kMillisecond);

// 32×32 drawn once and kept as bytes.
const Dataset& small() {
  static const std::unique_ptr<Dataset> set = open_dataset({.name = "glyphs", .limit = 2000});
  return *set;
}

// 160×160 from JPEG files of 240×200, pictures of many edges under noise.
const Dataset& photos() {
  static const TemporaryFolder folder;
  static const std::unique_ptr<Dataset> set = [] {
    for (int i = 0; i < 64; ++i) {
      Image image = resize_cover(small().get(i).image, 240);
      Random random(static_cast<std::uint64_t>(i));
      for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(p * 7 / 8 + random.below(32));
      write_image(folder.path() / "train" / (i % 2 != 0 ? "odd" : "even") / fmt::format("{}.jpg", i), image);
    }
    return open_dataset({.name = "folder", .folder = folder.path(), .image_size = 160});
  }();
  return *set;
}

struct Change {
  const char* name;
  AugmentOptions augment;
  MixOptions mix = {};
};

const std::vector<Change>& changes() {
  static const std::vector<Change> all = {
      {"nothing", {}},
      {"flip and crop", {.horizontal_flip = true, .crop_padding = 4}},
      {"rotation and zoom", {.rotation_degrees = 15, .zoom = 0.1f}},
      {"brightness and contrast", {.brightness = 0.2f, .contrast = 0.2f}},
      {"saturation", {.saturation = 0.2f}},
      {"erasing", {.erase_probability = 1}},
      {"RandAugment 2", {.randaugment = 2}},
      {"mixup", {}, {.mixup = 1}},
      {"CutMix", {}, {.cutmix = 1}},
      {"all of it", {.horizontal_flip = true, .crop_padding = 4, .rotation_degrees = 15, .zoom = 0.1f, .brightness = 0.2f, .contrast = 0.2f,
                     .saturation = 0.2f, .erase_probability = 0.25f, .randaugment = 2}, {.mixup = 0.2, .cutmix = 1}}};
  return all;
}

void load_epochs(benchmark::State& state, const Dataset& data, LoaderOptions options) {
  options.batch_size = std::min<std::int64_t>(100, data.size());
  options.shuffle = true;
  options.channels_last = true;
  options.normalization = known_normalization("glyphs", 3);
  Loader loader(data, options);
  Batch batch;
  int epoch = 0;
  const auto pass = [&] {
    for (loader.start_epoch(epoch++); loader.next(batch);) benchmark::DoNotOptimize(batch.images.data());
  };
  pass();  // what is drawn or read for the first time
  for (auto _ : state) pass();
  state.SetItemsProcessed(state.iterations() * data.size());
}

void BM_Augment32(benchmark::State& state) {
  const Change& change = changes()[static_cast<std::size_t>(state.range(0))];
  load_epochs(state, small(), {.threads = 1, .augment = change.augment, .mix = change.mix});
  state.SetLabel(change.name);
}
BENCHMARK(BM_Augment32)->DenseRange(0, 9)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void BM_Augment160Jpeg(benchmark::State& state) {
  const Change& change = changes()[static_cast<std::size_t>(state.range(0))];
  load_epochs(state, photos(), {.threads = 1, .augment = change.augment, .mix = change.mix});
  state.SetLabel(change.name);
}
BENCHMARK(BM_Augment160Jpeg)->DenseRange(0, 9)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void BM_RandOperation160(benchmark::State& state) {
  Image image = resize_cover(small().get(7).image, 160), scratch;
  const auto operation = static_cast<RandOperation>(state.range(0));
  for (auto _ : state) {
    apply(operation, 0.3, image, scratch);
    benchmark::DoNotOptimize(image.pixels.data());
  }
  state.SetItemsProcessed(state.iterations());
  state.SetLabel(std::string(to_string(operation)));
}
BENCHMARK(BM_RandOperation160)->DenseRange(0, kRandOperations - 1)->Unit(benchmark::kMicrosecond);

void BM_LoadBatches(benchmark::State& state) {  // argument: loader threads
  load_epochs(state, small(), {.threads = static_cast<int>(state.range(0)), .augment = {.horizontal_flip = true, .crop_padding = 4}});
}
BENCHMARK(BM_LoadBatches)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

// A trainer that takes 60 ms for a batch of 16 JPEG files at full strength: the share of its time that it waits.
void BM_WaitBesideATrainer(benchmark::State& state) {  // argument: loader threads
  const Change& change = changes().back();
  Loader loader(photos(), {.batch_size = 16, .shuffle = true, .threads = static_cast<int>(state.range(0)), .augment = change.augment, .mix = change.mix});
  Batch batch;
  int epoch = 0;
  const auto began = std::chrono::steady_clock::now();
  for (auto _ : state)
    for (loader.start_epoch(epoch++); loader.next(batch);) std::this_thread::sleep_for(std::chrono::milliseconds(60));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  state.counters["waited_share"] = loader.waited_seconds() / seconds;
}
BENCHMARK(BM_WaitBesideATrainer)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace micromind
