#include "micromind/data/batch_maker.h"

#include <algorithm>
#include <utility>

#include "micromind/base/error.h"
#include "micromind/data/streams.h"

namespace micromind {
namespace {

constexpr int kReplacementTries = 100;

std::uint64_t u(std::int64_t value) { return static_cast<std::uint64_t>(value); }

Normalization normalization_for(const LoaderOptions& options, int channels) {
  if (!options.normalization.mean.empty() || !options.normalization.deviation.empty()) return options.normalization;
  const auto n = static_cast<std::size_t>(channels);
  return {std::vector<float>(n, 0.0f), std::vector<float>(n, 1.0f)};
}

std::size_t pixels_of(const Batch& batch) { return static_cast<std::size_t>(batch.channels) * batch.height * batch.width; }

}  // namespace

BatchMaker::BatchMaker(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset), options_(options), augmenter_(options.augment) {}

bool BatchMaker::read(std::int64_t index, std::vector<DamagedImage>& damaged) {
  if (options_.on_damage == OnDamage::fail) {
    dataset_.load(index, sample_);
    return true;
  }
  try {
    dataset_.load(index, sample_);
    return true;
  } catch (const Error& error) {
    damaged.push_back({index, error.what()});
    return false;
  }
}

// Another sample of the epoch, a function of (seed, epoch, the damaged one) alone.
void BatchMaker::read_replacement(std::span<const std::int64_t> order, int epoch, std::int64_t of, std::int64_t& index) {
  Random random(options_.seed, {kReplaceStream, u(epoch), u(of)});
  std::vector<DamagedImage> more;  // they are counted at their own places
  for (int i = 0; i < kReplacementTries; ++i) {
    index = order[random.below(static_cast<std::uint32_t>(order.size()))];
    if (read(index, more)) return;
  }
  fail("data", "no image could be read in place of a damaged one: {} more, drawn at random, are damaged too; the last: {}",
       more.size(), more.back().reason);
}

void BatchMaker::augment(int epoch, std::int64_t index, std::int64_t in_place_of) {
  if (!options_.augment.any()) return;
  if (index == in_place_of) {
    Random random(options_.seed, {kAugmentStream, u(epoch), u(index)});
    augmenter_(sample_.image, random);
  } else {  // changed otherwise than at its own place in the epoch
    Random random(options_.seed, {kAugmentStream, u(epoch), u(index), u(in_place_of)});
    augmenter_(sample_.image, random);
  }
}

void BatchMaker::take_shape(Batch& batch, std::size_t images) {
  const Image& image = sample_.image;
  if (!scaler_) scaler_.emplace(normalization_for(options_, image.channels), image.channels);
  batch.channels = image.channels;
  batch.height = image.height;
  batch.width = image.width;
  batch.images.resize(images * pixels_of(batch));
}

void BatchMaker::check_shape(const Batch& batch, std::int64_t index) const {
  const Image& image = sample_.image;
  if (image.channels != batch.channels || image.height != batch.height || image.width != batch.width)
    fail_with_hint("loader", "set the data set's image_size", "sample {} is {}x{}x{}, others of its batch are {}x{}x{}", index,
                   image.channels, image.height, image.width, batch.channels, batch.height, batch.width);
}

void BatchMaker::mix(Random& random, Batch& batch) {
  const std::size_t count = batch.labels.size(), floats = pixels_of(batch);
  plan_mix(options_.mix, batch.size, batch.height, batch.width, random, plan_);
  batch.other_labels.resize(count);
  batch.weights = plan_.weight;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t other = plan_.partner[i];
    float* out = batch.images.data() + i * floats;
    batch.other_labels[i] = batch.labels[other];
    if (plan_.cut) {
      scaler_->to_float(images_[i], out, options_.channels_last);
      scaler_->box_to_float(images_[other], plan_.box[i], out, options_.channels_last);
    } else {
      scaler_->mix_to_float(images_[i], images_[other], plan_.weight[i], out, options_.channels_last);
    }
  }
}

void BatchMaker::make(std::span<const std::int64_t> order, int epoch, std::int64_t number, const std::atomic<bool>& cancelled,
                      Batch& batch, std::vector<DamagedImage>& damaged) {
  const std::size_t first = static_cast<std::size_t>(number * options_.batch_size);
  const std::size_t size = std::min(static_cast<std::size_t>(options_.batch_size), order.size() - first);
  batch.index_in_epoch = number;
  batch.size = 0;
  batch.labels.resize(size);
  batch.indices.resize(size);
  batch.other_labels.clear();
  batch.weights.clear();
  damaged.clear();
  Random mix_random(options_.seed, {kMixStream, u(epoch), u(number), u(options_.rank)});
  const bool mixes = options_.mix.any() && epoch < options_.mix_epochs && mix_random.uniform() < options_.mix.probability;
  if (mixes) images_.resize(std::max(images_.size(), size));
  std::size_t count = 0;
  for (const std::int64_t wanted : order.subspan(first, size)) {
    if (cancelled.load(std::memory_order_relaxed)) return;
    std::int64_t index = wanted;
    if (!read(wanted, damaged)) {
      if (options_.on_damage == OnDamage::leave_out) continue;
      read_replacement(order, epoch, wanted, index);
    }
    augment(epoch, index, wanted);
    if (count == 0) take_shape(batch, size);
    else check_shape(batch, index);
    batch.labels[count] = sample_.label;
    batch.indices[count] = index;
    if (mixes) std::swap(images_[count], sample_.image);
    else scaler_->to_float(sample_.image, batch.images.data() + count * pixels_of(batch), options_.channels_last);
    ++count;
  }
  batch.size = static_cast<std::int64_t>(count);
  batch.labels.resize(count);
  batch.indices.resize(count);
  batch.images.resize(count * pixels_of(batch));
  if (mixes && count > 1) mix(mix_random, batch);
  else if (mixes && count == 1) scaler_->to_float(images_[0], batch.images.data(), options_.channels_last);
}

}  // namespace micromind
