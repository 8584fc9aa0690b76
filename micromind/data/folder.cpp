// Images in a folder per class, the layout of most private data sets:
//   FOLDER/train/CLASS/*.jpg with FOLDER/val (or validation) and FOLDER/test, whichever exist; or
//   FOLDER/CLASS/*.jpg, where a fifth of every class becomes the test part by a hash of the file names.
#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/data/folder_scan.h"
#include "micromind/data/openers.h"
#include "micromind/data/pixel_dataset.h"
#include "micromind/data/selection.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

bool hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (!hidden(it->path())) entries.push_back(it->path());
  if (error) fail("data", "cannot list the folder {}: {}", folder.string(), error.message());
  std::sort(entries.begin(), entries.end(), [](const fs::path& a, const fs::path& b) {
    return a.filename().string() < b.filename().string();
  });
  return entries;
}

/// FNV-1a, 64 bits: the same on every machine, unlike std::hash.
std::uint64_t hash_name(const std::string& text) {
  std::uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

/// Of every class the fifth (at least one file) with the smallest hashes of "class/file" is the test part: it
/// does not depend on the seed, and a file that is added moves few others.
void keep_hashed_part(ClassFolders& found, bool test) {
  ClassFolders kept{.class_names = found.class_names, .files = {}, .labels = {}};
  for (std::size_t begin = 0; begin < found.files.size();) {
    const int label = found.labels[begin];
    std::size_t end = begin;
    while (end < found.files.size() && found.labels[end] == label) ++end;
    const std::string& name = found.class_names[static_cast<std::size_t>(label)];
    if (end - begin < 2)
      fail_with_hint("data", "add images, or make folders train and test yourself",
                     "class '{}' holds one image, which cannot be both in training and in test: {}", name,
                     found.files[begin].string());
    std::vector<std::uint64_t> hashes;
    for (std::size_t i = begin; i < end; ++i)
      hashes.push_back(hash_name(name + "/" + found.files[i].filename().string()));
    std::vector<std::uint64_t> sorted = hashes;
    std::sort(sorted.begin(), sorted.end());
    const std::uint64_t last_of_test = sorted[std::max<std::size_t>(1, (end - begin) / 5) - 1];
    for (std::size_t i = begin; i < end; ++i) {
      if ((hashes[i - begin] <= last_of_test) != test) continue;
      kept.files.push_back(found.files[i]);
      kept.labels.push_back(label);
    }
    begin = end;
  }
  found = std::move(kept);
}

/// The first sub-folder of those names that exists, or an empty path.
fs::path first_of(const fs::path& folder, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (fs::is_directory(folder / name)) return folder / name;
  return {};
}

/// Labels of another part in terms of the classes of the training part.
void relabel(ClassFolders& part, const fs::path& where, const std::vector<std::string>& classes) {
  std::vector<int> map;
  for (const std::string& name : part.class_names) {
    const auto it = std::find(classes.begin(), classes.end(), name);
    if (it == classes.end())
      fail("data", "{}: class '{}' does not occur in the training part (it has {})", where.string(), name,
           fmt::join(classes, ", "));
    map.push_back(static_cast<int>(it - classes.begin()));
  }
  for (int& label : part.labels) label = map[static_cast<std::size_t>(label)];
  part.class_names = classes;
}

ClassFolders find_part(const DatasetOptions& options) {
  const fs::path& folder = options.folder;
  if (!fs::is_directory(folder)) fail_with_hint("data", "data.folder names the folder that holds train/CLASS/*.jpg or CLASS/*.jpg", "folder: {} is not a folder", folder.string());
  const fs::path train = first_of(folder, {"train"});
  const fs::path test = first_of(folder, {"test"}), validation = first_of(folder, {"validation", "val"});
  if (train.empty()) {
    if (const fs::path& lone = test.empty() ? validation : test; !lone.empty())
      fail("data", "folder: {} exists, but {} does not", lone.string(), (folder / "train").string());
    ClassFolders found = scan_class_folders(folder);
    keep_hashed_part(found, wants_test_files(options));
    return found;
  }
  ClassFolders found = scan_class_folders(train);
  if (!wants_test_files(options)) return found;
  const bool prefers_test = options.split == DataSplit::test;
  const fs::path chosen = test.empty()         ? validation
                          : validation.empty() ? test
                          : prefers_test       ? test
                                               : validation;
  if (chosen.empty())
    fail_with_hint(
        "data", "add a test folder, set validation_share for validation, or drop the folder 'train' itself",
        "folder: {} has neither a folder test nor val", folder.string());
  ClassFolders part = scan_class_folders(chosen);
  relabel(part, chosen, found.class_names);
  return part;
}

class FolderDataset : public Dataset {
 public:
  FolderDataset(ClassFolders found, const DatasetOptions& options)
      : found_(std::move(found)),
        chosen_(select_samples(found_.labels, static_cast<int>(found_.class_names.size()), options)),
        channels_(options.channels == 0 ? 3 : options.channels),
        image_size_(options.image_size),
        description_(describe_dataset(options, size(), channels_, image_size_, image_size_,
                                      found_.class_names.size(), "from " + options.folder.string())) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(chosen_.size()); }
  const std::vector<std::string>& class_names() const override { return found_.class_names; }
  std::string describe() const override { return description_; }
  Sample get(std::int64_t index) const override {
    require_index(description_, index, size());
    const auto i = static_cast<std::size_t>(chosen_[static_cast<std::size_t>(index)]);
    return {read_image(found_.files[i], channels_, image_size_), found_.labels[i]};
  }
  int label(std::int64_t index) const override {
    require_index(description_, index, size());
    return found_.labels[static_cast<std::size_t>(chosen_[static_cast<std::size_t>(index)])];
  }

 private:
  ClassFolders found_;
  std::vector<std::int64_t> chosen_;
  int channels_, image_size_;
  std::string description_;
};

}  // namespace

ClassFolders scan_class_folders(const fs::path& folder) {
  ClassFolders found;
  for (const fs::path& entry : sorted_entries(folder)) {
    if (!fs::is_directory(entry)) continue;
    const std::size_t before = found.files.size();
    for (const fs::path& file : sorted_entries(entry)) {
      if (!is_image_name(file) || fs::is_directory(file)) continue;
      found.files.push_back(file);
      found.labels.push_back(static_cast<int>(found.class_names.size()));
    }
    if (found.files.size() == before)
      fail_with_hint("data", "put .jpg or .png files in it, or remove the folder",
                     "the class folder {} holds no image", entry.string());
    found.class_names.push_back(entry.filename().string());
  }
  if (found.class_names.empty())
    fail_with_hint("data", "expected a folder per class with .jpg or .png files", "{} holds no class folder",
                   folder.string());
  return found;
}

std::unique_ptr<Dataset> open_folder(const DatasetOptions& options) {
  return std::make_unique<FolderDataset>(find_part(options), options);
}

}  // namespace micromind
