#include "micromind/data/tar.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "micromind/base/error.h"
#include "micromind/data/inflate.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kLongestName = 65536;
using Block = std::array<std::uint8_t, kBlock>;

class Extractor {
 public:
  Extractor(const fs::path& archive, const fs::path& folder, std::uint64_t max_bytes)
      : archive_(archive), folder_(folder), reader_(archive), left_(max_bytes) {}

  std::vector<fs::path> run() {
    make_folder(folder_);
    Block header;
    for (;;) {
      read_exactly(header);
      if (std::all_of(header.begin(), header.end(), [](std::uint8_t b) { return b == 0; }))
        return std::move(files_);
      check_sum(header);
      entry(header);
    }
  }

 private:
  [[noreturn]] void damaged(const std::string& what) const {
    fail_with_hint("tar", "download it again", "{}: {}", archive_.string(), what);
  }

  void read_exactly(std::span<std::uint8_t> out) {
    if (const std::size_t n = reader_.read(out); n != out.size())
      damaged(fmt::format("truncated: expected {} more bytes, found {}", out.size(), n));
  }

  static std::string field(const Block& header, std::size_t at,
                           std::size_t size) {  // ends at a NUL or the field's end
    const char* text = reinterpret_cast<const char*>(header.data()) + at;
    return {text, ::strnlen(text, size)};
  }

  std::uint64_t octal(const Block& header, std::size_t at, std::size_t size) const {
    if ((header[at] & 0x80) != 0) {  // GNU: big-endian binary
      std::uint64_t value = header[at] & 0x7F;
      for (std::size_t i = 1; i < size; ++i) {
        if (value >> 55 != 0) damaged("a number is too large");
        value = value << 8 | header[at + i];
      }
      return value;
    }
    std::uint64_t value = 0;
    for (const char c : field(header, at, size)) {
      if (c == ' ') continue;
      if (c < '0' || c > '7') damaged("a number in a header is not octal");
      value = value * 8 + static_cast<std::uint64_t>(c - '0');
    }
    return value;
  }

  void check_sum(const Block& header) const {  // the sum of all bytes, its own field taken as spaces
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : header[i];
    if (const std::uint64_t stated = octal(header, 148, 8); stated != sum)
      damaged(
          fmt::format("a header's checksum is {}, expected {}: not a tar archive or damaged", sum, stated));
  }

  void entry(const Block& header) {
    std::string name = field(header, 0, 100);
    if (field(header, 257, 5) == "ustar" &&
        header[257 + 5] == 0)  // POSIX; GNU's variant uses the prefix for other things
      if (const std::string prefix = field(header, 345, 155); !prefix.empty()) name = prefix + "/" + name;
    std::uint64_t size = octal(header, 124, 12);
    switch (const char type = static_cast<char>(header[156]); type) {
      case 'L':
        long_name_ = small_content(size).c_str();
        return;  // up to the NUL
      case 'x':
        pax(small_content(size));
        return;
      case 'g':
        small_content(size);
        return;
      case '0':
      case '\0':
      case '7':
      case '5': {
        if (long_name_) name = *long_name_;
        if (long_size_) size = *long_size_;
        long_name_.reset();
        long_size_.reset();
        const bool is_folder = type == '5' || (!name.empty() && name.back() == '/');
        const fs::path path = folder_ / safe(name);
        if (is_folder) {
          make_folder(path);
          skip(size);
        } else {
          write(path, size);
        }
        return;
      }
      default:
        fail("tar", "{}: '{}' is a link or device (type '{}'); only files and folders are unpacked",
             archive_.string(), name, type);
    }
  }

  fs::path safe(const std::string& name) const {
    const fs::path path = fs::path(name).lexically_normal();
    const bool climbs =
        std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
    if (name.empty() || path.is_absolute() || climbs || name.find('\0') != std::string::npos)
      fail("tar", "{}: refused the name '{}', which leads out of the folder", archive_.string(), name);
    return path;
  }

  /// Records "LENGTH key=value\n" (POSIX pax); only path and size matter here.
  void pax(const std::string& content) {
    for (std::size_t at = 0; at < content.size();) {
      std::size_t length = 0, digits = at;
      while (digits < content.size() && content[digits] >= '0' && content[digits] <= '9' &&
             length < kLongestName)
        length = length * 10 + static_cast<std::size_t>(content[digits++] - '0');
      if (digits >= content.size() || content[digits] != ' ' || length < digits - at + 3 ||
          length > content.size() - at)
        damaged("an extended header is malformed");
      const std::string record =
          content.substr(digits + 1, length - (digits + 1 - at) - 1);  // without the line's end
      const std::size_t equals = record.find('=');
      if (equals == std::string::npos) damaged("an extended header is malformed");
      const std::string key = record.substr(0, equals), value = record.substr(equals + 1);
      if (key == "path") long_name_ = value;
      if (key == "size") {
        if (value.empty() || value.size() > 18 || value.find_first_not_of("0123456789") != std::string::npos)
          damaged("an extended header's size is no number");
        long_size_ = std::stoull(value);
      }
      at += length;
    }
  }

  std::string small_content(std::uint64_t size) {
    if (size > kLongestName) damaged(fmt::format("a name or extended header of {} bytes", size));
    Bytes bytes((size + kBlock - 1) / kBlock * kBlock);
    read_exactly(bytes);
    return {reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size)};
  }

  void skip(std::uint64_t size) {
    Block block;
    for (std::uint64_t done = 0; done < size; done += kBlock) read_exactly(block);
  }

  static void make_folder(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail("tar", "cannot make the folder {}: {}", path.string(), error.message());
  }

  void write(const fs::path& path, std::uint64_t size) {
    if (size > left_) fail("tar", "{}: unpacks to more than it may", archive_.string());
    left_ -= size;
    make_folder(path.parent_path());
    fs::path temporary = path;
    temporary += ".unpacking";
    try {
      copy_to(temporary, size);
      fs::rename(temporary, path);
    } catch (const fs::filesystem_error& error) {
      discard(temporary);
      fail("tar", "cannot make {}: {}", path.string(), error.code().message());
    } catch (...) {
      discard(temporary);
      throw;
    }
    files_.push_back(path);
  }

  static void discard(const fs::path& path) {
    std::error_code ignored;
    fs::remove(path, ignored);
  }

  void copy_to(const fs::path& path, std::uint64_t size) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    if (!out) fail("tar", "cannot create {}: {}", path.string(), std::strerror(errno));
    Bytes buffer(128 * kBlock);
    while (size > 0) {
      const std::uint64_t payload = std::min<std::uint64_t>(size, buffer.size());
      const std::span<std::uint8_t> chunk =
          std::span(buffer).first(static_cast<std::size_t>((payload + kBlock - 1) / kBlock * kBlock));
      read_exactly(chunk);
      out.write(reinterpret_cast<const char*>(chunk.data()), static_cast<std::streamsize>(payload));
      size -= payload;
    }
    out.close();
    if (!out)
      fail_with_hint("tar", "is the disk full?", "cannot write {}: {}", path.string(), std::strerror(errno));
  }

  fs::path archive_, folder_;
  GzipReader reader_;
  std::uint64_t left_;
  std::optional<std::string> long_name_;  // of the next entry
  std::optional<std::uint64_t> long_size_;
  std::vector<fs::path> files_;
};

}  // namespace

std::vector<fs::path> extract_tar_gz(const fs::path& archive, const fs::path& folder,
                                     std::uint64_t max_bytes) {
  return Extractor(archive, folder, max_bytes).run();
}

}  // namespace micromind
