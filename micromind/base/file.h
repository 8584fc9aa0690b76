// Files read whole and written atomically: a reader sees the old content or the new one, never a part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace micromind {

using Bytes = std::vector<std::uint8_t>;

/// The whole file. Throws Error when it cannot be read.
std::string read_text(const std::filesystem::path& path);
Bytes read_bytes(const std::filesystem::path& path);

/// Writes to a temporary name beside `path`, flushes to the disk and renames. On any failure (a full disk
/// included) the temporary file is removed, what was at `path` before is untouched and Error is thrown.
/// Parent folders are made.
void write_atomic(const std::filesystem::path& path, std::string_view content);
void write_atomic(const std::filesystem::path& path, std::span<const std::uint8_t> content);

/// Adds a line to a text file and flushes it (logs).
void append_line(const std::filesystem::path& path, std::string_view line);

/// A folder of its own below the system's temporary folder, removed with everything in it at destruction.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(std::string_view prefix = "micromind");
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// `MICROMIND_DATA`, else ../shared/data where it exists, else data. The folder that data sets are looked up in.
std::filesystem::path data_folder();

}  // namespace micromind
