// Checksums of downloaded files: SHA-256 (FIPS 180-4) and MD5 (RFC 1321; for integrity only, as publishers
// list it).
//
//   file_checksum("a.tar.gz", HashKind::md5);         // "c32a1d4ab5d03f1284b67883e8d87530"
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace micromind {

enum class HashKind { md5, sha256 };

class Hasher {
 public:
  explicit Hasher(HashKind kind);
  void update(std::span<const std::uint8_t> bytes);
  std::string hex();  ///< lower case; ends the computation

 private:
  void block(const std::uint8_t* bytes);  // 64 bytes
  HashKind kind_;
  std::array<std::uint32_t, 8> state_{};
  std::array<std::uint8_t, 64> buffer_{};
  std::uint64_t total_ = 0;  // bytes so far
};

struct Checksum {
  HashKind kind = HashKind::sha256;
  std::string hex;  ///< lower case
};

/// "md5:…" or "sha256:…"; without a prefix by its length (32 or 64 digits). Throws Error on anything else.
Checksum parse_checksum(std::string_view text);

/// Throws Error when the file cannot be read.
std::string file_checksum(const std::filesystem::path& path, HashKind kind);

}  // namespace micromind
