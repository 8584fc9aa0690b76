// Labelled images by index: the contract between what lies on the disk and what trains, calibrates and
// evaluates.
//
//   auto train = open_dataset({.name = "cifar10", .split = DataSplit::train, .validation_share = 0.1, .seed =
//   1}); Sample s = train->get(0);                          // s.image: [3, 32, 32] uint8, s.label in [0, 10)
//
// A new data set is one file with an opener, one line in openers.h and one row in registry.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "micromind/data/image.h"

namespace micromind {

enum class DataSplit { train, validation, test };

std::string_view split_name(DataSplit split);
DataSplit parse_split(std::string_view name);  ///< throws Error with the nearest name

struct Sample {
  Image image;
  int label = 0;  ///< in [0, class_names().size())
};

/// Random access. get() is thread-safe: any number of threads may call it at once, and the same index always
/// gives the same bytes. An index outside [0, size()) throws Error, as does an image file that cannot be
/// decoded.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual Sample get(std::int64_t index) const = 0;
  /// get() into memory that is there already.
  virtual void load(std::int64_t index, Sample& into) const { into = get(index); }
  /// The label alone, without decoding.
  virtual int label(std::int64_t index) const { return get(index).label; }
  virtual const std::vector<std::string>& class_names() const = 0;
  virtual std::string describe() const = 0;  ///< one line: name, split, count, shape, where from
};

struct DatasetOptions {
  std::string name = {};              ///< a name of known_datasets()
  std::filesystem::path folder = {};  ///< empty: data_folder()/name ("folder" must say; "glyphs" needs none)
  DataSplit split = DataSplit::train;
  /// Share of the training part that is held out as the validation part, in [0, 1): per class, drawn by
  /// `seed`, the same cut for DataSplit::train and DataSplit::validation. 0: training keeps everything, and
  /// validation is the test part (or the validation folder, where a folder data set has one).
  double validation_share = 0;
  /// The first n after a shuffle by `seed`, classes in turn: every prefix is balanced as far as the classes
  /// last. 0, or more than there are: all, in file order.
  std::int64_t limit = 0;
  int image_size = 0;      ///< side in pixels, as resize_cover(); 0: as stored
  int channels = 0;        ///< 1 grey, 3 RGB; 0: as stored (image folders: 3)
  std::uint64_t seed = 0;  ///< of hold-out, limit, and of the pictures that "glyphs" draws
};

/// The first image that can be read, for the shape of all: one damaged file is no reason to stop. Throws the first one's
/// Error when none of the first 100 can.
Image first_image(const Dataset& dataset);

/// Samples of each class: [class_names().size()].
std::vector<std::int64_t> class_counts(const Dataset& dataset);

/// Throws Error: unknown name (with the nearest one), absent or damaged files (path, bytes expected and
/// found).
std::unique_ptr<Dataset> open_dataset(const DatasetOptions& options);

/// A file that can be downloaded.
struct DatasetFile {
  std::string name;      ///< below the base address and below the folder
  std::string checksum;  ///< "md5:…" or "sha256:…" in hexadecimal
  bool archive = false;  ///< a .tar.gz, unpacked into the folder
};

struct DatasetInfo {
  std::string name, what, licence;
  int classes = 0;                          ///< 0: whatever the folder holds
  int channels = 0, height = 0, width = 0;  ///< as stored; 0: varies
  std::int64_t train = 0, test = 0;         ///< counts; 0: varies
  std::vector<std::string> base_urls = {};  ///< mirrors, tried in turn; empty: not downloadable
  std::vector<DatasetFile> files = {};
  bool downloadable() const { return !base_urls.empty(); }
};

const std::vector<DatasetInfo>& known_datasets();
const DatasetInfo& dataset_info(const std::string& name);  ///< throws Error with the nearest name

}  // namespace micromind
