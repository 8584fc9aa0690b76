#include "micromind/data/pixel_dataset.h"

#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/data/selection.h"

namespace micromind {

std::string describe_dataset(const DatasetOptions& options, std::int64_t size, int channels, int height,
                             int width, std::size_t classes, const std::string& source) {
  const std::string shape = height > 0 ? fmt::format("{}x{}x{}", channels, height, width)
                                       : fmt::format("{} channels, any size", channels);
  return fmt::format("{} {}: {} images of {} in {} classes, {}", options.name, split_name(options.split),
                     format_count(size), shape, classes, source);
}

void require_index(const std::string& name, std::int64_t index, std::int64_t size) {
  if (index < 0 || index >= size)
    fail("data", "{}: expected an index in [0, {}), found {}", name, size, index);
}

PixelDataset::PixelDataset(PixelTable table, std::vector<std::string> class_names,
                           const DatasetOptions& options, const std::string& source)
    : table_(std::move(table)), class_names_(std::move(class_names)) {
  const auto chosen = select_samples(table_.labels, static_cast<int>(class_names_.size()), options);
  bool everything = chosen.size() == table_.labels.size();
  for (std::size_t i = 0; everything && i < chosen.size(); ++i)
    everything = chosen[i] == static_cast<std::int64_t>(i);
  if (!everything) {
    const std::size_t bytes = static_cast<std::size_t>(table_.channels) * table_.height * table_.width;
    std::vector<std::uint8_t> pixels(chosen.size() * bytes);
    std::vector<int> labels(chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto from = static_cast<std::size_t>(chosen[i]);
      std::copy_n(table_.pixels.data() + from * bytes, bytes, pixels.data() + i * bytes);
      labels[i] = table_.labels[from];
    }
    table_.pixels = std::move(pixels);
    table_.labels = std::move(labels);
  }
  description_ = describe_dataset(options, size(), table_.channels, table_.height, table_.width,
                                  class_names_.size(), "from " + source);
}

Sample PixelDataset::get(std::int64_t index) const {
  Sample sample;
  load(index, sample);
  return sample;
}

int PixelDataset::label(std::int64_t index) const {
  require_index(description_, index, size());
  return table_.labels[static_cast<std::size_t>(index)];
}

void PixelDataset::load(std::int64_t index, Sample& into) const {
  into.label = label(index);
  Image& image = into.image;
  image.channels = table_.channels;
  image.height = table_.height;
  image.width = table_.width;
  const std::size_t bytes = static_cast<std::size_t>(table_.channels) * table_.height * table_.width;
  const std::uint8_t* from = table_.pixels.data() + static_cast<std::size_t>(index) * bytes;
  image.pixels.assign(from, from + bytes);
}

}  // namespace micromind
