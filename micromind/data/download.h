// Fetching files over HTTP(S): continued where it stopped, checked before it counts.
//
//   download({.urls = {"https://example.org/a.tar.gz"}, .destination = "data/a.tar.gz", .checksum =
//   "md5:…"}); FetchedDataset got = get_dataset("cifar10", {}, {});      // the verb `micromind data get
//   cifar10`
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "micromind/data/dataset.h"

namespace micromind {

/// `total` is 0 while it is unknown. Called a few times a second from the calling thread; it must not throw.
using DownloadProgress = std::function<void(const std::string& name, std::int64_t done, std::int64_t total)>;

struct DownloadOptions {
  std::vector<std::string> urls;      ///< http or https; mirrors, tried in turn
  std::filesystem::path destination;  ///< the file; what is there already with the right checksum is kept
  std::string checksum = {};          ///< "md5:…", "sha256:…"; empty: whatever comes whole is taken
  DownloadProgress progress = {};
  double connect_timeout_s = 20;
  double stall_timeout_s = 30;  ///< given up when no more than a byte a second comes for so long
  int retries = 2;  ///< per URL, after a broken connection or a 5xx answer; each continues the file
};

/// Writes to DESTINATION.part, verifies the checksum, renames. A broken transfer leaves the .part file, and
/// the next call continues it (HTTP Range; from the start where the server cannot). Throws Error: what every
/// URL answered and what to do; a wrong checksum deletes the file and says so. Throws Interrupted when the
/// user stops it.
void download(const DownloadOptions& options);

struct FetchedDataset {
  std::filesystem::path folder;
  bool already_there = false;  ///< nothing was downloaded: the files were there and sound
};

/// Makes the named data set ready below `folder` (empty: data_folder()/name): downloads and unpacks what is
/// missing, then opens both parts to verify them. `base_url` not empty: instead of the known addresses (a
/// mirror of one's own, same files). Throws Error when it is not downloadable, and whatever download()
/// throws.
FetchedDataset get_dataset(const std::string& name, const std::filesystem::path& folder = {},
                           const std::string& base_url = {}, const DownloadProgress& progress = {});

/// Downloads and unpacks the files of `info` into `folder`; archives are removed afterwards.
void fetch_files(const DatasetInfo& info, const std::filesystem::path& folder,
                 const std::string& base_url = {}, const DownloadProgress& progress = {});

}  // namespace micromind
