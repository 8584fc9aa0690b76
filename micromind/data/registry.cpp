#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"
#include "micromind/data/dataset.h"
#include "micromind/data/openers.h"

namespace micromind {
namespace {

using Opener = std::unique_ptr<Dataset> (*)(const DatasetOptions&);

struct Entry {
  DatasetInfo info;
  Opener open;
};

std::vector<Entry> make_entries() {
  std::vector<Entry> all;
  all.push_back(
      {{.name = "cifar10",
        .what = "photographs of animals and vehicles (Krizhevsky 2009)",
        .licence =
            "no licence text; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        .classes = 10,
        .channels = 3,
        .height = 32,
        .width = 32,
        .train = 50000,
        .test = 10000,
        .base_urls = {"https://www.cs.toronto.edu/~kriz"},
        .files = {{"cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530", true}}},
       open_cifar10});
  all.push_back(
      {{.name = "cifar100",
        .what = "photographs, the 100 fine classes (Krizhevsky 2009)",
        .licence =
            "no licence text; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        .classes = 100,
        .channels = 3,
        .height = 32,
        .width = 32,
        .train = 50000,
        .test = 10000,
        .base_urls = {"https://www.cs.toronto.edu/~kriz"},
        .files = {{"cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8", true}}},
       open_cifar100});
  all.push_back({{.name = "mnist",
                  .what = "handwritten digits (LeCun, Cortes, Burges)",
                  .licence = "no formal licence; often given as CC BY-SA 3.0",
                  .classes = 10,
                  .channels = 1,
                  .height = 28,
                  .width = 28,
                  .train = 60000,
                  .test = 10000,
                  .base_urls = {"https://ossci-datasets.s3.amazonaws.com/mnist"},
                  .files = {{"train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"},
                            {"train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"},
                            {"t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"},
                            {"t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"}}},
                 open_mnist});
  all.push_back({{.name = "fashion-mnist",
                  .what = "articles of clothing (Zalando Research 2017)",
                  .licence = "MIT",
                  .classes = 10,
                  .channels = 1,
                  .height = 28,
                  .width = 28,
                  .train = 60000,
                  .test = 10000,
                  .base_urls = {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"},
                  .files = {{"train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"},
                            {"train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"},
                            {"t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"},
                            {"t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"}}},
                 open_fashion_mnist});
  all.push_back({{.name = "folder",
                  .what = "your own images: FOLDER/train/CLASS/*.jpg with FOLDER/test, or FOLDER/CLASS/*.jpg",
                  .licence = "yours"},
                 open_folder});
  all.push_back(
      {{.name = "glyphs",
        .what = "letters, digits and shapes among clutter, drawn by the program itself: needs no file",
        .licence = "none needed: made on the spot",
        .classes = 10,
        .channels = 3,
        .height = 32,
        .width = 32,
        .train = 20000,
        .test = 2000},
       open_glyphs});
  return all;
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = make_entries();
  return all;
}

const Entry& find_entry(const std::string& name) {
  std::vector<std::string> names;
  for (const Entry& entry : entries()) {
    if (entry.info.name == name) return entry;
    names.push_back(entry.info.name);
  }
  fail_with_hint("data", name_hint(name, names), "unknown data set '{}'", name);
}

/// Another size or number of channels than the stored one, made on every get().
class Converted : public Dataset {
 public:
  Converted(std::unique_ptr<Dataset> inner, int channels, int size)
      : inner_(std::move(inner)), channels_(channels), size_(size) {}
  std::int64_t size() const override { return inner_->size(); }
  const std::vector<std::string>& class_names() const override { return inner_->class_names(); }
  Sample get(std::int64_t index) const override {
    Sample sample = inner_->get(index);
    if (channels_ == 1)
      sample.image = convert_channels(sample.image, 1);  // before resizing: a third of the work
    if (size_ > 0) sample.image = resize_cover(sample.image, size_);
    if (channels_ == 3) sample.image = convert_channels(sample.image, 3);
    return sample;
  }
  int label(std::int64_t index) const override { return inner_->label(index); }
  std::string describe() const override {
    const std::string size = size_ > 0 ? fmt::format(" resized to {0}x{0}", size_) : "";
    const std::string channels =
        channels_ > 0 ? fmt::format(", as {} channel{}", channels_, channels_ > 1 ? "s" : "") : "";
    return inner_->describe() + size + channels;
  }

 private:
  std::unique_ptr<Dataset> inner_;
  int channels_, size_;
};

}  // namespace

std::string_view split_name(DataSplit split) {
  switch (split) {
    case DataSplit::train:
      return "train";
    case DataSplit::validation:
      return "validation";
    case DataSplit::test:
      return "test";
  }
  fail("data", "split: not a value of DataSplit: {}", static_cast<int>(split));
}

DataSplit parse_split(std::string_view name) {
  std::vector<std::string> names;
  for (const DataSplit split : {DataSplit::train, DataSplit::validation, DataSplit::test}) {
    if (split_name(split) == name) return split;
    names.emplace_back(split_name(split));
  }
  fail_with_hint("data", name_hint(name, names), "unknown split '{}'", name);
}

const std::vector<DatasetInfo>& known_datasets() {
  static const std::vector<DatasetInfo> all = [] {
    std::vector<DatasetInfo> infos;
    for (const Entry& entry : entries()) infos.push_back(entry.info);
    return infos;
  }();
  return all;
}

const DatasetInfo& dataset_info(const std::string& name) {
  return find_entry(name).info;
}

Image first_image(const Dataset& dataset) {
  const std::int64_t tries = std::min<std::int64_t>(dataset.size(), 100);
  if (tries == 0) fail("data", "{}: there are no images", dataset.describe());
  for (std::int64_t i = 0; i < tries; ++i) {
    try {
      return dataset.get(i).image;
    } catch (const Error&) {  // thrown again below
    }
  }
  return dataset.get(0).image;
}

std::vector<std::int64_t> class_counts(const Dataset& dataset) {
  std::vector<std::int64_t> counts(dataset.class_names().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) ++counts[static_cast<std::size_t>(dataset.label(i))];
  return counts;
}

std::unique_ptr<Dataset> open_dataset(const DatasetOptions& options) {
  const Entry& entry = find_entry(options.name);
  const DatasetInfo& info = entry.info;
  if (options.channels != 0 && options.channels != 1 && options.channels != 3)
    fail("data", "{}: channels: expected 1 (grey), 3 (RGB) or 0 (as stored), found {}", info.name,
         options.channels);
  if (options.image_size < 0 || options.image_size > 8192)
    fail("data", "{}: image_size: expected 0 (as stored) or up to 8192 pixels, found {}", info.name,
         options.image_size);
  DatasetOptions filled = options;
  if (filled.folder.empty() && info.name == "folder")
    fail_with_hint("data", "set the folder that holds train/CLASS/*.jpg or CLASS/*.jpg",
                   "folder: no folder is given");
  if (filled.folder.empty()) filled.folder = data_folder() / info.name;
  std::unique_ptr<Dataset> dataset = entry.open(filled);
  if (info.channels == 0) return dataset;  // decoded to the wanted shape already
  const int channels = options.channels == info.channels ? 0 : options.channels;
  const int size = options.image_size == info.height ? 0 : options.image_size;
  if (channels == 0 && size == 0) return dataset;
  return std::make_unique<Converted>(std::move(dataset), channels, size);
}

}  // namespace micromind
