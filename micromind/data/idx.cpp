// MNIST and Fashion-MNIST: IDX files (yann.lecun.com/exdb/mnist), plain or gzipped. An IDX file is two zero
// bytes, the element type (8 = unsigned byte), the rank, the dimensions as big-endian 32-bit numbers, and the
// elements.
#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/data/inflate.h"
#include "micromind/data/openers.h"
#include "micromind/data/pixel_dataset.h"
#include "micromind/data/selection.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLargest = std::size_t{1} << 30;  // unpacked bytes; the real ones have 47 million

struct Idx {
  fs::path path;
  std::vector<std::size_t> shape;
  Bytes content;  // header included
  std::size_t header() const { return 4 + 4 * shape.size(); }
};

Idx read_idx(const fs::path& folder, const std::string& stem, std::size_t rank, const std::string& dataset) {
  Idx idx;
  for (const fs::path& candidate : {folder / stem, folder / (stem + ".gz")})
    if (idx.path.empty() && fs::exists(candidate)) idx.path = candidate;
  if (idx.path.empty())
    fail_with_hint("data", fmt::format("run: micromind data get {}, or name the folder that holds it: data.folder, or MICROMIND_DATA for the "
                               "folder above",
                               dataset),
                   "{}: neither {} nor {}.gz exists", dataset, (folder / stem).string(), stem);
  idx.content = read_maybe_gzip(idx.path, kLargest);
  const Bytes& bytes = idx.content;
  const std::string path = idx.path.string();
  if (bytes.size() < 4 + 4 * rank)
    fail("data", "{}: expected an IDX header of {} bytes, found {} bytes in all", path, 4 + 4 * rank,
         bytes.size());
  if (bytes[0] != 0 || bytes[1] != 0 || bytes[2] != 8 || bytes[3] != rank)
    fail("data", "{}: expected the IDX magic 00 00 08 {:02x}, found {:02x} {:02x} {:02x} {:02x}", path, rank,
         bytes[0], bytes[1], bytes[2], bytes[3]);
  std::size_t elements = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    const std::uint8_t* p = &bytes[4 + 4 * d];
    const std::size_t n = std::size_t{p[0]} << 24 | std::size_t{p[1]} << 16 | std::size_t{p[2]} << 8 | p[3];
    if (n == 0 || elements > kLargest / n)
      fail("data", "{}: dimension {} is {}: not a sound header", path, d, n);
    idx.shape.push_back(n);
    elements *= n;
  }
  if (bytes.size() != idx.header() + elements)
    fail_with_hint("data", "the file is not whole: download it again",
                   "{}: expected {} bytes for shape {}, found {}", path, idx.header() + elements,
                   fmt::join(idx.shape, "x"), bytes.size());
  return idx;
}

std::unique_ptr<Dataset> open_idx(const DatasetOptions& options, std::vector<std::string> names) {
  const std::string stem = wants_test_files(options) ? "t10k" : "train";
  Idx images = read_idx(options.folder, stem + "-images-idx3-ubyte", 3, options.name);
  const Idx labels = read_idx(options.folder, stem + "-labels-idx1-ubyte", 1, options.name);
  if (images.shape[1] != 28 || images.shape[2] != 28)
    fail("data", "{}: expected images of 28x28, found {}x{}", images.path.string(), images.shape[1],
         images.shape[2]);
  if (images.shape[0] != labels.shape[0])
    fail("data", "{} holds {} images, but {} holds {} labels", images.path.string(), images.shape[0],
         labels.path.string(), labels.shape[0]);
  PixelTable table{.channels = 1, .height = 28, .width = 28, .pixels = {}, .labels = {}};
  for (std::size_t i = 0; i < labels.shape[0]; ++i) {
    const int label = labels.content[labels.header() + i];
    if (label >= static_cast<int>(names.size()))
      fail("data", "{}: item {}: expected a label in [0, {}), found {}", labels.path.string(), i,
           names.size(), label);
    table.labels.push_back(label);
  }
  images.content.erase(images.content.begin(),
                       images.content.begin() + static_cast<std::ptrdiff_t>(images.header()));
  table.pixels = std::move(images.content);
  return std::make_unique<PixelDataset>(std::move(table), std::move(names), options, options.folder.string());
}

}  // namespace

std::unique_ptr<Dataset> open_mnist(const DatasetOptions& options) {
  return open_idx(options, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}

std::unique_ptr<Dataset> open_fashion_mnist(const DatasetOptions& options) {
  return open_idx(options, {"t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
                            "bag", "ankle-boot"});
}

}  // namespace micromind
