// What a loader's thread does: reads, augments, mixes and normalises one batch. Keeps the memory that it works in, so
// that a batch allocates nothing once the first one is made (decoders aside).
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <vector>

#include "micromind/data/loader.h"

namespace micromind {

class BatchMaker {
 public:
  /// Both must outlive it. One a thread.
  BatchMaker(const Dataset& dataset, const LoaderOptions& options);

  /// Fills `batch` with the images of `order` (this process's, for the epoch) from number · batch_size on, and `damaged`
  /// with those that could not be read. Leaves it half done once `cancelled`. Throws Error.
  void make(std::span<const std::int64_t> order, int epoch, std::int64_t number, const std::atomic<bool>& cancelled, Batch& batch,
            std::vector<DamagedImage>& damaged);

 private:
  bool read(std::int64_t index, std::vector<DamagedImage>& damaged);
  void read_replacement(std::span<const std::int64_t> order, int epoch, std::int64_t of, std::int64_t& index);
  void augment(int epoch, std::int64_t index, std::int64_t in_place_of);
  void take_shape(Batch& batch, std::size_t images);
  void check_shape(const Batch& batch, std::int64_t index) const;
  void mix(Random& random, Batch& batch);

  const Dataset& dataset_;
  const LoaderOptions& options_;
  Augmenter augmenter_;
  std::optional<PixelScaler> scaler_;
  Sample sample_;
  std::vector<Image> images_;  // of a batch that is to be mixed
  MixPlan plan_;
};

}  // namespace micromind
