#include "micromind/data/loader.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <system_error>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/data/streams.h"

namespace micromind {
namespace {

/// A place in the ring of prepared batches: batch b of an epoch lives in slot b mod ring size.
struct Slot {
  Batch batch;
  std::exception_ptr error;
  bool ready = false;
};

void require(bool good, const char* name, const char* expected, std::int64_t found) {
  if (!good) fail("loader", "{}: expected {}, found {}", name, expected, found);
}

void validate(const Dataset& dataset, const LoaderOptions& o) {
  require(dataset.size() > 0, "data set", "at least one sample", dataset.size());
  require(dataset.size() < (std::int64_t{1} << 32), "data set", "fewer than 2^32 samples", dataset.size());
  require(o.batch_size > 0, "batch_size", "at least 1", o.batch_size);
  require(o.threads >= 0 && o.threads <= 1024, "threads", "0 (one a core) to 1024", o.threads);
  require(o.prefetch > 0 && o.prefetch <= 4096, "prefetch", "1 to 4096", o.prefetch);
  require(o.world_size > 0, "world_size", "at least 1", o.world_size);
  require(o.rank >= 0 && o.rank < o.world_size, "rank", "a value in [0, world_size)", o.rank);
  o.augment.validate();
}

}  // namespace

struct Loader::State {
  const Dataset& dataset;
  const LoaderOptions options;
  const std::int64_t samples;  // of this rank, an epoch
  const std::int64_t batches;

  // Guarded by `mutex`, but for the slots' batches, which belong to the thread that prepares them until they
  // are ready.
  std::mutex mutex;
  std::condition_variable work,
      done;  // a slot became free or an epoch began; a batch became ready or a thread idle
  std::vector<Slot> slots;
  std::vector<std::int64_t> order;  // indices of this rank's samples, in this epoch's order
  int epoch = -1;
  std::int64_t taken = 0, delivered = 0;  // the next batch to prepare, and to hand out
  int busy = 0;                           // threads that prepare a batch
  bool quit = false;
  std::atomic<bool> cancelled{false};  // give up the batches under way
  std::vector<std::thread> threads;

  State(const Dataset& d, LoaderOptions o)
      : dataset(d),
        options(std::move(o)),
        samples(count_samples(d, options)),
        batches(count_batches(samples, options)),
        slots(static_cast<std::size_t>(options.prefetch)) {
    taken = delivered = batches;
  }

  static std::int64_t count_samples(const Dataset& d, const LoaderOptions& o) {
    const std::int64_t n = d.size(), world = o.world_size;
    return world > 1 && o.drop_last ? n / world : (n + world - 1) / world;
  }
  static std::int64_t count_batches(std::int64_t samples, const LoaderOptions& o) {
    return o.drop_last ? samples / o.batch_size : (samples + o.batch_size - 1) / o.batch_size;
  }

  Slot& slot(std::int64_t batch) { return slots[static_cast<std::size_t>(batch % options.prefetch)]; }
  bool can_take() const { return taken < batches && taken < delivered + options.prefetch; }

  void make_order() {
    std::vector<std::int64_t> all(static_cast<std::size_t>(dataset.size()));
    std::iota(all.begin(), all.end(), std::int64_t{0});
    if (options.shuffle) {
      Random random(options.seed, {kOrderStream, static_cast<std::uint64_t>(epoch)});
      random.shuffle(std::span<std::int64_t>(all));
    }
    order.resize(static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < order.size(); ++i)
      order[i] =
          all[(i * static_cast<std::size_t>(options.world_size) + static_cast<std::size_t>(options.rank)) %
              all.size()];
  }

  /// Fills `batch`; leaves it half done when the epoch is given up meanwhile.
  void prepare(std::int64_t number, Batch& batch) {
    const std::int64_t first = number * options.batch_size;
    batch.size = std::min(options.batch_size, samples - first);
    batch.index_in_epoch = number;
    const auto size = static_cast<std::size_t>(batch.size);
    batch.labels.resize(size);
    batch.indices.resize(size);
    std::optional<PixelScaler> scaler;
    std::size_t floats = 0;  // of one image
    for (std::size_t i = 0; i < size; ++i) {
      if (cancelled.load(std::memory_order_relaxed)) return;
      const std::int64_t index = order[static_cast<std::size_t>(first) + i];
      Sample sample = dataset.get(index);
      if (options.augment.any()) {
        Random random(options.seed,
                      {kAugmentStream, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(index)});
        sample.image = augment(sample.image, options.augment, random);
      }
      const Image& image = sample.image;
      if (i == 0) {
        scaler.emplace(normalization_for(image.channels), image.channels);
        batch.channels = image.channels;
        batch.height = image.height;
        batch.width = image.width;
        floats = image.pixels.size();
        batch.images.resize(size * floats);
      } else if (image.channels != batch.channels || image.height != batch.height ||
                 image.width != batch.width) {
        fail_with_hint("loader", "set the data set's image_size",
                       "sample {} is {}x{}x{}, others of its batch are {}x{}x{}", index, image.channels,
                       image.height, image.width, batch.channels, batch.height, batch.width);
      }
      scaler->to_float(image, batch.images.data() + i * floats, options.channels_last);
      batch.labels[i] = sample.label;
      batch.indices[i] = index;
    }
  }

  Normalization normalization_for(int channels) const {
    if (!options.normalization.mean.empty() || !options.normalization.deviation.empty())
      return options.normalization;
    const auto n = static_cast<std::size_t>(channels);
    return {std::vector<float>(n, 0.0f), std::vector<float>(n, 1.0f)};
  }

  /// prepare(), with whatever it throws turned into an Error.
  std::exception_ptr try_prepare(std::int64_t number, Batch& batch) noexcept {
    try {
      prepare(number, batch);
    } catch (const Error&) {
      return std::current_exception();
    } catch (const std::bad_alloc&) {
      return std::make_exception_ptr(Error("loader", fmt::format("not enough memory for a batch of {} images", options.batch_size),
                                           "a smaller train.batch_size or data.image_size needs less"));
    } catch (const std::exception& error) {
      return std::make_exception_ptr(Error("loader", fmt::format("batch {}: {}", number, error.what())));
    } catch (...) {
      return std::make_exception_ptr(Error("loader", fmt::format("batch {}: an unknown exception", number)));
    }
    return nullptr;
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      work.wait(lock, [&] { return quit || can_take(); });
      if (quit) return;
      const std::int64_t number = taken++;
      Slot& mine = slot(number);
      ++busy;
      lock.unlock();
      std::exception_ptr error = try_prepare(number, mine.batch);
      lock.lock();
      --busy;
      mine.error = std::move(error);
      mine.ready = true;
      done.notify_one();
    }
  }

  /// Stops the epoch under way and waits until no thread touches a slot.
  void cancel(std::unique_lock<std::mutex>& lock) {
    cancelled = true;
    taken = delivered = batches;
    done.wait(lock, [&] { return busy == 0; });
    cancelled = false;
    for (Slot& s : slots) {
      s.ready = false;
      s.error = nullptr;
    }
  }

  void stop() {
    {
      std::unique_lock lock(mutex);
      quit = true;
      cancelled = true;
    }
    work.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }
};

Loader::Loader(const Dataset& dataset, LoaderOptions options) {
  validate(dataset, options);
  int threads = options.threads;
  if (threads == 0) threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.prefetch = std::max(options.prefetch, threads);  // a slot for every thread
  state_ = std::make_unique<State>(dataset, std::move(options));
  try {
    for (int i = 0; i < threads; ++i) state_->threads.emplace_back([state = state_.get()] { state->run(); });
  } catch (const std::system_error& error) {
    const std::size_t started = state_->threads.size();
    state_->stop();
    fail_with_hint("loader", "lower the number of threads", "{} of {} threads could be started: {}", started,
                   threads, error.what());
  }
}

Loader::~Loader() {
  state_->stop();
}

std::int64_t Loader::batches_per_epoch() const {
  return state_->batches;
}

void Loader::start_epoch(int epoch, std::int64_t first_batch) {
  State& s = *state_;
  if (epoch < 0) fail("loader", "epoch: expected 0 or more, found {}", epoch);
  if (first_batch < 0 || first_batch > s.batches)
    fail("loader", "first_batch: expected a value in [0, {}], found {}", s.batches, first_batch);
  {
    std::unique_lock lock(s.mutex);
    s.cancel(lock);
    s.epoch = epoch;
    s.make_order();
    s.taken = s.delivered = first_batch;
  }
  s.work.notify_all();
}

bool Loader::next(Batch& out) {
  State& s = *state_;
  {
    std::unique_lock lock(s.mutex);
    if (s.epoch < 0) fail("loader", "next() was called before start_epoch()");
    if (s.delivered == s.batches) return false;
    Slot& slot = s.slot(s.delivered);
    s.done.wait(lock, [&] { return slot.ready; });
    if (slot.error) std::rethrow_exception(slot.error);
    std::swap(out, slot.batch);
    slot.ready = false;
    ++s.delivered;
  }
  s.work.notify_one();
  return true;
}

}  // namespace micromind
