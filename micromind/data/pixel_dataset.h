// Samples of one shape held in memory as bytes: what the fixed-size sets (CIFAR, MNIST) become once read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "micromind/data/dataset.h"

namespace micromind {

/// All samples of a file set, before the part is chosen.
struct PixelTable {
  int channels = 0, height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  ///< [N, C, H, W]
  std::vector<int> labels;           ///< [N]
};

class PixelDataset : public Dataset {
 public:
  /// Keeps the samples that `options` selects (select_samples()) and frees the others. `source` is for
  /// describe().
  PixelDataset(PixelTable table, std::vector<std::string> class_names, const DatasetOptions& options,
               const std::string& source);

  std::int64_t size() const override { return static_cast<std::int64_t>(table_.labels.size()); }
  Sample get(std::int64_t index) const override;
  void load(std::int64_t index, Sample& into) const override;
  int label(std::int64_t index) const override;
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::string describe() const override { return description_; }

 private:
  PixelTable table_;
  std::vector<std::string> class_names_;
  std::string description_;
};

/// "cifar10 train: 45,000 images of 3x32x32 in 10 classes, from FOLDER".
std::string describe_dataset(const DatasetOptions& options, std::int64_t size, int channels, int height,
                             int width, std::size_t classes, const std::string& source);

/// Throws Error unless 0 <= index < size.
void require_index(const std::string& name, std::int64_t index, std::int64_t size);

}  // namespace micromind
