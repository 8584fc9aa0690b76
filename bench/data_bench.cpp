// How many pictures a second one core draws (the built-in data set) and loads with augmentation.
#include <benchmark/benchmark.h>

#include "micromind/data/dataset.h"
#include "micromind/data/loader.h"

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

void BM_LoadBatches(benchmark::State& state) {  // argument: loader threads
  const auto glyphs = open_dataset({.name = "glyphs", .limit = 2000});
  Loader loader(*glyphs, {.batch_size = 100,
                          .shuffle = true,
                          .threads = static_cast<int>(state.range(0)),
                          .augment = {.horizontal_flip = true, .crop_padding = 4},
                          .normalization = known_normalization("glyphs", 3),
                          .channels_last = true});
  Batch batch;
  int epoch = 0;
  for (auto _ : state)
    for (loader.start_epoch(epoch++); loader.next(batch);) benchmark::DoNotOptimize(batch.images.data());
  state.SetItemsProcessed(state.iterations() * 2000);
}
BENCHMARK(BM_LoadBatches)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace micromind
