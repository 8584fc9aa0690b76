// Batches of floats, prepared ahead by threads of their own.
//
//   Loader loader(*train, {.batch_size = 128, .shuffle = true, .seed = 1, .augment = {.horizontal_flip =
//   true},
//                          .normalization = known_normalization("cifar10", 3)});
//   Batch batch;                                   // keep it: its memory goes round
//   for (int epoch = 0; epoch < 90; ++epoch)
//     for (loader.start_epoch(epoch); loader.next(batch);) step(batch);
//
// Order and augmentation are functions of (seed, epoch, index) alone: the same bytes whatever the number of
// threads, and start_epoch(epoch, first_batch) continues a stopped epoch exactly.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "micromind/data/augment.h"
#include "micromind/data/dataset.h"

namespace micromind {

/// What happens to an image that the data set cannot read.
enum class OnDamage {
  fail,       ///< next() throws what the data set threw
  replace,    ///< another image of the epoch, drawn by the seed, takes its place: batches keep their size (training)
  leave_out,  ///< the batch is smaller: no image counts twice (evaluation)
};

struct LoaderOptions {
  std::int64_t batch_size = 32;
  bool shuffle = false;              ///< a new order every epoch; else by index
  bool drop_last = false;            ///< leave out the last batch when it is not full
  int threads = 1;                   ///< that prepare batches, besides the caller's; 0: one a core
  std::uint64_t seed = 0;            ///< of order and augmentation
  AugmentOptions augment = {};       ///< none by default
  MixOptions mix = {};               ///< none by default; within a batch of this process
  int mix_epochs = std::numeric_limits<int>::max();  ///< epochs from this one on (from 0) are not mixed
  OnDamage on_damage = OnDamage::fail;
  double damaged_share = 1;          ///< share of the epoch's images beyond which next() throws all the same
  Normalization normalization = {};  ///< empty: pixel / 255
  bool channels_last = false;        ///< memory [N, H, W, C] instead of [N, C, H, W]
  int prefetch = 4;                  ///< batches prepared ahead, at least 1
  /// Data-parallel training: this process takes positions rank, rank + world_size, … of the common order. All
  /// ranks get equally many: the order is continued from its start to fill up, or cut with drop_last.
  /// batch_size is per process.
  int rank = 0, world_size = 1;
};

struct Batch {
  std::int64_t size = 0;
  int channels = 0, height = 0, width = 0;
  std::vector<float> images;          ///< size · C · H · W, in the layout of LoaderOptions::channels_last
  std::vector<std::int64_t> labels;   ///< size
  std::vector<std::int64_t> indices;  ///< size: indices into the data set
  /// Mixed batches: the target is weights · labels + (1 − weights) · other_labels, each [size]. Else empty.
  std::vector<std::int64_t> other_labels;
  std::vector<float> weights;
  std::int64_t index_in_epoch = 0;    ///< 0, 1, … batches_per_epoch() - 1
};

struct DamagedImage {
  std::int64_t index = 0;  ///< in the data set
  std::string reason;      ///< the Error's text, which names the file
};

/// One consumer: start_epoch() and next() are called from one thread. The data set must outlive the loader.
class Loader {
 public:
  Loader(const Dataset& dataset, LoaderOptions options);  ///< throws Error on options out of range
  ~Loader();                                              ///< at any time, in mid-epoch too
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Begins an epoch at `first_batch` in [0, batches_per_epoch()]; what is left of another one is given up.
  void start_epoch(int epoch, std::int64_t first_batch = 0);

  /// The next batch in order, or false at the end of the epoch. Swaps `out`'s memory for the next use. Throws
  /// Error when a sample could not be prepared, or too many are damaged (every call again, until the next
  /// start_epoch()), or when no epoch was started.
  bool next(Batch& out);

  std::int64_t batches_per_epoch() const;

  /// Time that next() has waited for a batch, over the loader's life.
  double waited_seconds() const;

  /// Images of this epoch that could not be read, among the batches handed out so far.
  std::int64_t damaged_in_epoch() const;

  /// Those of them that no earlier call has returned, in any epoch: each once.
  std::vector<DamagedImage> take_damaged();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace micromind
