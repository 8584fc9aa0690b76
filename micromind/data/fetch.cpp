// `micromind data get NAME`: which files a data set consists of, and making them ready (declared in
// download.h).
#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/data/download.h"
#include "micromind/data/tar.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

/// Opens both parts: the readers verify every size, magic number and label.
void verify(const std::string& name, const fs::path& folder) {
  for (const DataSplit split : {DataSplit::train, DataSplit::test})
    open_dataset({.name = name, .folder = folder, .split = split});
}

bool sound(const std::string& name, const fs::path& folder) {
  try {
    verify(name, folder);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void fetch_files(const DatasetInfo& info, const fs::path& folder, const std::string& base_url,
                 const DownloadProgress& progress) {
  for (const DatasetFile& file : info.files) {
    std::vector<std::string> urls;
    for (std::string base : base_url.empty() ? info.base_urls : std::vector<std::string>{base_url}) {
      while (!base.empty() && base.back() == '/') base.pop_back();
      urls.push_back(base + "/" + file.name);
    }
    const fs::path destination = folder / file.name;
    download({.urls = urls, .destination = destination, .checksum = file.checksum, .progress = progress});
    if (!file.archive) continue;
    extract_tar_gz(destination, folder);
    std::error_code ignored;
    fs::remove(destination, ignored);  // its content is beside it; twice the space for nothing
  }
}

FetchedDataset get_dataset(const std::string& name, const fs::path& folder, const std::string& base_url,
                           const DownloadProgress& progress) {
  const DatasetInfo& info = dataset_info(name);
  if (!info.downloadable())
    fail_with_hint("download", name == "glyphs" ? "use it right away" : "see `micromind datasets`",
                   "{} is not downloaded: {}", name, info.what);
  FetchedDataset fetched{.folder = folder.empty() ? data_folder() / name : folder};
  fetched.already_there = sound(name, fetched.folder);
  if (fetched.already_there) return fetched;
  fetch_files(info, fetched.folder, base_url, progress);
  verify(name, fetched.folder);
  return fetched;
}

}  // namespace micromind
