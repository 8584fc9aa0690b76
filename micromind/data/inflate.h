// Gzip (RFC 1952) through zlib: a file as a stream of bytes, or whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "micromind/base/file.h"

namespace micromind {

/// Reads a .gz file front to back with constant memory; concatenated members are read as one stream.
class GzipReader {
 public:
  explicit GzipReader(const std::filesystem::path& path);  ///< throws Error when it cannot be opened
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Fills `out` as far as the stream goes; fewer bytes than asked for only at its end. Throws Error naming
  /// the file when it is not gzip, damaged (its CRC is verified) or cut short.
  std::size_t read(std::span<std::uint8_t> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The whole content, unpacked when it begins with gzip's magic number. Throws Error beyond `max_bytes`.
Bytes read_maybe_gzip(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace micromind
