#include "micromind/data/loader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <numeric>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/data/batch_maker.h"
#include "micromind/data/streams.h"

namespace micromind {
namespace {

constexpr std::size_t kNamedFiles = 3;  // in an error

/// A place in the ring of prepared batches: batch b of an epoch lives in slot b mod ring size.
struct Slot {
  Batch batch;
  std::vector<DamagedImage> damaged;
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
  if (!(o.damaged_share >= 0 && o.damaged_share <= 1))
    fail("loader", "damaged_share: expected a value in [0, 1], found {}", o.damaged_share);
  o.augment.validate();
  o.mix.validate();
}

using Clock = std::chrono::steady_clock;

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
  // The consumer's alone.
  double waited = 0;
  std::int64_t damaged = 0;             // in this epoch
  std::vector<std::string> reasons;     // the first few of them
  std::vector<DamagedImage> fresh;      // not yet told of
  std::set<std::int64_t> told;
  std::exception_ptr failed;            // of this epoch
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

  /// Makes a batch; whatever is thrown becomes an Error.
  std::exception_ptr prepare(BatchMaker& maker, std::int64_t number, Slot& into) noexcept {
    try {
      maker.make(order, epoch, number, cancelled, into.batch, into.damaged);
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
    BatchMaker maker(dataset, options);
    std::unique_lock lock(mutex);
    for (;;) {
      work.wait(lock, [&] { return quit || can_take(); });
      if (quit) return;
      const std::int64_t number = taken++;
      Slot& mine = slot(number);
      ++busy;
      lock.unlock();
      std::exception_ptr error = prepare(maker, number, mine);
      lock.lock();
      --busy;
      mine.error = std::move(error);
      mine.ready = true;
      done.notify_one();
    }
  }

  /// Swaps the batch that is due into `out` and counts its damaged images; sets `failed` where that is too much.
  void hand_out(std::unique_lock<std::mutex>& lock, Batch& out) {
    Slot& due = slot(delivered);
    if (!due.ready) {
      const Clock::time_point began = Clock::now();
      done.wait(lock, [&] { return due.ready; });
      waited += std::chrono::duration<double>(Clock::now() - began).count();
    }
    if (due.error) {
      failed = due.error;
      return;
    }
    std::swap(out, due.batch);
    for (DamagedImage& image : due.damaged) {
      ++damaged;
      if (reasons.size() < kNamedFiles) reasons.push_back(image.reason);
      if (told.insert(image.index).second) fresh.push_back(std::move(image));
    }
    due.damaged.clear();
    due.ready = false;
    ++delivered;
    if (static_cast<double>(damaged) > options.damaged_share * static_cast<double>(samples))
      failed = std::make_exception_ptr(
          Error("data", fmt::format("{} of the epoch's {} images could not be read, more than the share of {} that may be damaged: {}{}", damaged,
                                    samples, options.damaged_share, fmt::join(reasons, "; "), damaged > std::ssize(reasons) ? "; …" : ""),
                "repair or remove them, or raise data.damaged_share"));
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
    failed = nullptr;
    damaged = 0;
    reasons.clear();
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
  do {
    {
      std::unique_lock lock(s.mutex);
      if (s.epoch < 0) fail("loader", "next() was called before start_epoch()");
      if (!s.failed && s.delivered == s.batches) return false;
      if (!s.failed) s.hand_out(lock, out);
      if (s.failed) std::rethrow_exception(s.failed);
    }
    s.work.notify_one();
  } while (out.size == 0);  // all of it was damaged and left out
  return true;
}

double Loader::waited_seconds() const {
  return state_->waited;
}

std::int64_t Loader::damaged_in_epoch() const {
  return state_->damaged;
}

std::vector<DamagedImage> Loader::take_damaged() {
  return std::exchange(state_->fresh, {});
}

}  // namespace micromind
