// A small zip reader and writer: what PyTorch checkpoints need. Reads stored and deflated entries, with or without
// ZIP64 records, from a file that may be damaged or hostile; writes stored entries whose bytes depend on nothing but
// their content. Format: PKWARE's APPNOTE 6.3.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "micromind/base/file.h"

namespace micromind {

/// "PK\3\4" or, for an archive without entries, "PK\5\6".
bool looks_like_zip(std::span<const std::uint8_t> bytes);

class ZipReader {
 public:
  /// Reads the central directory. `where` names the file in errors. Throws Error when the archive is damaged,
  /// encrypted, spread over several files or names an entry twice.
  ZipReader(Bytes bytes, std::string where);

  std::vector<std::string> names() const;
  bool has(const std::string& name) const { return entries_.contains(name); }

  /// The content of an entry, its CRC checked. Throws Error when there is none of that name or it is damaged.
  Bytes read(const std::string& name) const;

 private:
  struct Entry {
    std::uint64_t offset = 0, compressed = 0, size = 0;
    std::uint32_t crc = 0;
    std::uint16_t method = 0;
  };
  std::uint64_t number(std::uint64_t offset, int bytes) const;
  std::uint64_t find_end() const;
  Entry central_entry(std::uint64_t offset, std::uint64_t& next, std::string& name) const;
  [[noreturn]] void damaged(std::string_view what) const;
  Bytes bytes_;
  std::string where_;
  std::map<std::string, Entry> entries_;
};

class ZipWriter {
 public:
  /// Stores an entry; its data start at a multiple of 64 bytes, as PyTorch's do, so that they can be mapped.
  /// Throws Error beyond 4 GB or 65,535 entries.
  void add(std::string_view name, std::span<const std::uint8_t> content);
  Bytes finish();

 private:
  void put(Bytes& to, std::uint64_t value, int bytes) const;
  Bytes file_, directory_;
  std::uint32_t count_ = 0;
};

}  // namespace micromind
