// Unpacking .tar.gz archives (POSIX ustar with GNU's long names and pax paths and sizes): what data sets are
// published in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace micromind {

/// Unpacks files and folders below `folder` (made if absent) and returns the paths of the files. Every file
/// is written beside its place and renamed when whole. Refused with an Error: names that are absolute or hold
/// "..", links and devices, headers with a wrong checksum, archives that are cut short, more than `max_bytes`
/// in all.
std::vector<std::filesystem::path> extract_tar_gz(const std::filesystem::path& archive,
                                                  const std::filesystem::path& folder,
                                                  std::uint64_t max_bytes = std::uint64_t{1} << 36);

}  // namespace micromind
