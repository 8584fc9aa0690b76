// CIFAR-10 and CIFAR-100 in their binary versions (www.cs.toronto.edu/~kriz/cifar.html): records of one label
// byte (CIFAR-100: coarse, then fine) and 3 x 1024 bytes of red, green and blue, row by row: already (C, H,
// W).
#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/data/folder_scan.h"
#include "micromind/data/openers.h"
#include "micromind/data/pixel_dataset.h"
#include "micromind/data/selection.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kPixels = 3 * 32 * 32;

const std::vector<std::string>& cifar10_names() {
  static const std::vector<std::string> names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                 "dog",      "frog",       "horse", "ship", "truck"};
  return names;
}

const std::vector<std::string>& cifar100_names() {
  static const std::vector<std::string> names = {
      "apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
      "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
      "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
      "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
      "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
      "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
      "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
      "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
      "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
      "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
      "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
      "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
      "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
      "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
      "table",       "tank",          "telephone", "television", "tiger",        "tractor",
      "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
      "willow_tree", "wolf",          "woman",     "worm"};
  return names;
}

/// Appends the records of one file: `label_bytes` labels (the last one counts), then the pixels.
void append_records(const fs::path& path, std::size_t records, std::size_t label_bytes, int classes,
                    PixelTable& table) {
  const std::size_t stride = label_bytes + kPixels;
  if (std::error_code ignored; !fs::exists(path, ignored))
    fail_with_hint("data", "the data set is not whole: download it again", "{} is missing", path.string());
  const Bytes bytes = read_bytes(path);
  if (bytes.size() != records * stride)
    fail_with_hint("data", "the file is not whole: download it again",
                   "{}: expected {} bytes ({} records of {}), found {}", path.string(), records * stride,
                   records, stride, bytes.size());
  const std::size_t before = table.pixels.size();
  table.pixels.resize(before + records * kPixels);
  for (std::size_t i = 0; i < records; ++i) {
    const std::uint8_t* record = bytes.data() + i * stride;
    const int label = record[label_bytes - 1];
    if (label >= classes)
      fail("data", "{}: record {}: expected a label in [0, {}), found {}", path.string(), i, classes, label);
    table.labels.push_back(label);
    std::copy_n(record + label_bytes, kPixels, table.pixels.data() + before + i * kPixels);
  }
}

PixelTable empty_table() {
  return {.channels = 3, .height = 32, .width = 32, .pixels = {}, .labels = {}};
}

/// Where the binaries may lie: `folder` itself, the sub-folder that the archive unpacks to, and the same sub-folder
/// beside `folder` (the archive unpacked in the data folder itself).
std::vector<fs::path> places(const fs::path& folder, const char* sub) {
  std::vector<fs::path> list = {folder, folder / sub};
  if (folder.has_parent_path()) list.push_back(folder.parent_path() / sub);
  return list;
}

/// The first of them that holds `file`; empty when none does.
fs::path find_binaries(const fs::path& folder, const char* sub, const char* file) {
  for (const fs::path& place : places(folder, sub))
    if (std::error_code ignored; fs::exists(place / file, ignored)) return place;
  return {};
}

[[noreturn]] void fail_absent(const DatasetOptions& options, const char* file, const char* sub) {
  const fs::path archive = options.folder / "cifar-10-images-q75.tar.xz";
  if (options.name == "cifar10" && fs::exists(archive)) {
    const std::string folder = options.folder.string();
    fail_with_hint("data",
                   fmt::format("run: python3 {0}/jpeg_to_bin.py OUT   (needs python3-pil; writes OUT/{1})   "
                               "or: mkdir OUT && tar "
                               "-xJf {2} -C OUT   then give OUT as the folder of the data set",
                               folder, sub, archive.string()),
                   "cifar10: {} holds the packed JPEG images only, not {}", folder, file);
  }
  std::vector<std::string> looked;
  for (const fs::path& place : places(options.folder, sub)) looked.push_back(place.string());
  fail_with_hint("data",
                 fmt::format("run: micromind data get {}, or name the folder that holds it: data.folder, or MICROMIND_DATA for the "
                             "folder above",
                             options.name),
                 "{}: {} is in none of {}", options.name, file, fmt::join(looked, ", "));
}

/// The same images as JPEG files, {train,test}/<class>/*.jpg, decoded at once. Their order is that of the
/// file names.
PixelTable read_jpegs(const fs::path& folder) {
  PixelTable table = empty_table();
  const ClassFolders found = scan_class_folders(folder);
  if (found.class_names != cifar10_names())
    fail("data", "cifar10: {}: expected the ten class folders airplane … truck, found {}: {}",
         folder.string(), found.class_names.size(), fmt::join(found.class_names, ", "));
  table.pixels.reserve(found.files.size() * kPixels);
  for (std::size_t i = 0; i < found.files.size(); ++i) {
    const Image image = read_image(found.files[i]);
    if (image.height != 32 || image.width != 32)
      fail("data", "{}: expected 32x32 pixels, found {}x{}", found.files[i].string(), image.height,
           image.width);
    table.pixels.insert(table.pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  table.labels = found.labels;
  return table;
}

}  // namespace

std::unique_ptr<Dataset> open_cifar10(const DatasetOptions& options) {
  const bool test = wants_test_files(options);
  const char* const sub = "cifar-10-batches-bin";
  const char* const first = test ? "test_batch.bin" : "data_batch_1.bin";
  const fs::path folder = find_binaries(options.folder, sub, first);
  if (folder.empty()) {
    const fs::path jpegs = options.folder / (test ? "test" : "train");
    if (!fs::is_directory(jpegs / "airplane")) fail_absent(options, first, sub);
    return std::make_unique<PixelDataset>(read_jpegs(jpegs), cifar10_names(), options,
                                          jpegs.string() + " (JPEG)");
  }
  PixelTable table = empty_table();
  if (test) {
    append_records(folder / first, 10000, 1, 10, table);
  } else {
    table.pixels.reserve(50000 * kPixels);
    for (int i = 1; i <= 5; ++i)
      append_records(folder / fmt::format("data_batch_{}.bin", i), 10000, 1, 10, table);
  }
  return std::make_unique<PixelDataset>(std::move(table), cifar10_names(), options, folder.string());
}

std::unique_ptr<Dataset> open_cifar100(const DatasetOptions& options) {
  const bool test = wants_test_files(options);
  const char* const sub = "cifar-100-binary";
  const char* const file = test ? "test.bin" : "train.bin";
  const fs::path folder = find_binaries(options.folder, sub, file);
  if (folder.empty()) fail_absent(options, file, sub);
  PixelTable table = empty_table();
  append_records(folder / file, test ? 10000 : 50000, 2, 100, table);
  return std::make_unique<PixelDataset>(std::move(table), cifar100_names(), options, folder.string());
}

}  // namespace micromind
