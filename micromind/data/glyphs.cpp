// "glyphs": the data set that is always there. Pictures are drawn when first asked for and kept.
#include <algorithm>
#include <atomic>

#include "micromind/data/glyph_render.h"
#include "micromind/data/openers.h"
#include "micromind/data/pixel_dataset.h"
#include "micromind/data/selection.h"
#include "micromind/data/warp.h"

namespace micromind {
namespace {

constexpr std::int64_t kTrain = 20000, kTest = 2000;

class Glyphs : public Dataset {
 public:
  explicit Glyphs(const DatasetOptions& options)
      : seed_(options.seed),
        part_(wants_test_files(options) ? 1 : 0),
        chosen_(choose(options)),
        cache_(new std::uint8_t[chosen_.size() * kGlyphBytes]),  // untouched pages cost no memory yet
        state_(new std::atomic<std::uint8_t>[chosen_.size()]()),
        description_(describe_dataset(options, size(), 3, kGlyphSize, kGlyphSize, glyph_class_names().size(),
                                      "drawn by the program")) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(chosen_.size()); }
  const std::vector<std::string>& class_names() const override { return glyph_class_names(); }
  std::string describe() const override { return description_; }

  Sample get(std::int64_t index) const override {
    Sample sample;
    load(index, sample);
    return sample;
  }

  int label(std::int64_t index) const override {
    require_index(description_, index, size());
    return label_of(chosen_[static_cast<std::size_t>(index)]);
  }

  void load(std::int64_t index, Sample& sample) const override {
    sample.label = label(index);
    reshape(sample.image, 3, kGlyphSize, kGlyphSize);
    const auto i = static_cast<std::size_t>(index);
    std::uint8_t* kept = cache_.get() + i * kGlyphBytes;
    if (state_[i].load(std::memory_order_acquire) == kReady) {
      std::copy_n(kept, kGlyphBytes, sample.image.pixels.data());
      return;
    }
    sample.image.pixels.assign(kGlyphBytes, 0);
    render_glyph(seed_, part_, chosen_[i], sample.label, sample.image.pixels);
    std::uint8_t expected = kEmpty;  // the first to come keeps it; nobody waits
    if (state_[i].compare_exchange_strong(expected, kBusy, std::memory_order_acquire)) {
      std::copy_n(sample.image.pixels.data(), kGlyphBytes, kept);
      state_[i].store(kReady, std::memory_order_release);
    }
  }

 private:
  static constexpr std::uint8_t kEmpty = 0, kBusy = 1, kReady = 2;

  static int label_of(std::int64_t index) {
    return static_cast<int>(index % static_cast<std::int64_t>(glyph_class_names().size()));
  }

  static std::vector<std::int64_t> choose(const DatasetOptions& options) {
    std::vector<int> labels(static_cast<std::size_t>(wants_test_files(options) ? kTest : kTrain));
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = label_of(static_cast<std::int64_t>(i));
    return select_samples(labels, static_cast<int>(glyph_class_names().size()), options);
  }

  std::uint64_t seed_;
  int part_;
  std::vector<std::int64_t> chosen_;
  std::unique_ptr<std::uint8_t[]> cache_;  // [N, 3, 32, 32]
  std::unique_ptr<std::atomic<std::uint8_t>[]> state_;
  std::string description_;
};

}  // namespace

std::unique_ptr<Dataset> open_glyphs(const DatasetOptions& options) {
  return std::make_unique<Glyphs>(options);
}

}  // namespace micromind
