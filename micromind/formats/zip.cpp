#include "micromind/formats/zip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "micromind/base/error.h"

namespace micromind {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::uint64_t kNoValue32 = 0xffffffff;
constexpr std::uint64_t kAlignment = 64;

std::uint32_t checksum(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, bytes.data(), bytes.size()));
}

bool inflate_all(std::span<const std::uint8_t> from, Bytes& to) {
  z_stream stream{};
  Bytef nothing = 0;  // zlib wants an address even where no byte is to be written
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  stream.next_in = const_cast<Bytef*>(from.data());
  stream.next_out = to.empty() ? &nothing : to.data();
  stream.avail_in = static_cast<uInt>(from.size());
  stream.avail_out = static_cast<uInt>(to.size());
  const int status = inflate(&stream, Z_FINISH);
  const bool whole = status == Z_STREAM_END && stream.avail_out == 0 && stream.avail_in == 0;
  inflateEnd(&stream);
  return whole;
}

}  // namespace

bool looks_like_zip(std::span<const std::uint8_t> b) {
  return b.size() >= 4 && b[0] == 'P' && b[1] == 'K' && ((b[2] == 3 && b[3] == 4) || (b[2] == 5 && b[3] == 6));
}

void ZipReader::damaged(std::string_view what) const { fail("zip", "{}: the archive is damaged or cut short: {}", where_, what); }

std::uint64_t ZipReader::number(std::uint64_t offset, int bytes) const {
  if (offset > bytes_.size() || bytes_.size() - offset < static_cast<std::uint64_t>(bytes)) damaged("a record runs past the end");
  std::uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) value = value << 8 | bytes_[offset + static_cast<std::uint64_t>(i)];
  return value;
}

// The end record is the last thing but a comment of at most 65,535 bytes.
std::uint64_t ZipReader::find_end() const {
  if (bytes_.size() < 22) damaged("it is too short");
  const std::uint64_t last = bytes_.size() - 22, first = last > 65535 ? last - 65535 : 0;
  for (std::uint64_t at = last + 1; at-- > first;)
    if (number(at, 4) == kEnd && at + 22 + number(at + 20, 2) == bytes_.size()) return at;
  damaged("it has no end record");
}

ZipReader::ZipReader(Bytes bytes, std::string where) : bytes_(std::move(bytes)), where_(std::move(where)) {
  const std::uint64_t end = find_end();
  std::uint64_t count = number(end + 10, 2), offset = number(end + 16, 4);
  std::uint64_t disk = number(end + 4, 2);
  if (end >= 20 && number(end - 20, 4) == kLocator64) {
    const std::uint64_t end64 = number(end - 12, 8);
    if (number(end64, 4) != kEnd64) damaged("its ZIP64 end record is missing");
    count = number(end64 + 32, 8);
    offset = number(end64 + 48, 8);
    disk = number(end64 + 16, 4);
  }
  if (disk != 0) fail("zip", "{}: archives spread over several files are not read", where_);
  if (count > bytes_.size() / 46) damaged("more entries than fit");
  std::uint64_t claimed = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string name;
    const Entry entry = central_entry(offset, offset, name);
    // Entries that share their bytes would let a small file claim any amount of memory.
    if (entry.compressed > bytes_.size() - claimed) damaged("its entries overlap");
    claimed += entry.compressed;
    if (!entries_.emplace(name, entry).second) fail("zip", "{}: the entry '{}' occurs twice", where_, name);
  }
}

ZipReader::Entry ZipReader::central_entry(std::uint64_t at, std::uint64_t& next, std::string& name) const {
  if (number(at, 4) != kCentral) damaged("a directory record is missing");
  Entry e;
  const std::uint64_t flags = number(at + 8, 2), name_size = number(at + 28, 2), extra = number(at + 30, 2), comment = number(at + 32, 2);
  e.method = static_cast<std::uint16_t>(number(at + 10, 2));
  e.crc = static_cast<std::uint32_t>(number(at + 16, 4));
  e.compressed = number(at + 20, 4);
  e.size = number(at + 24, 4);
  e.offset = number(at + 42, 4);
  next = at + 46 + name_size + extra + comment;
  if (next > bytes_.size()) damaged("a directory record runs past the end");
  name.assign(reinterpret_cast<const char*>(bytes_.data()) + at + 46, name_size);
  if ((flags & 1) != 0) fail("zip", "{}: the entry '{}' is encrypted", where_, name);
  // The ZIP64 extra field holds, in this order, those of the three that do not fit 32 bits.
  std::uint64_t field = at + 46 + name_size;
  const std::uint64_t fields_end = field + extra;
  while (field + 4 <= fields_end) {
    const std::uint64_t id = number(field, 2), size = number(field + 2, 2);
    const std::uint64_t content_end = field + 4 + size;
    if (content_end > fields_end) damaged("an extra field runs past its record");
    if (id == 1) {
      std::uint64_t value = field + 4;
      for (std::uint64_t* member : {&e.size, &e.compressed, &e.offset}) {
        if (*member != kNoValue32 || value + 8 > content_end) continue;
        *member = number(value, 8);
        value += 8;
      }
    }
    field = content_end;
  }
  return e;
}

std::vector<std::string> ZipReader::names() const {
  std::vector<std::string> list;
  for (const auto& [name, entry] : entries_) list.push_back(name);
  return list;
}

Bytes ZipReader::read(const std::string& name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) fail("zip", "{}: there is no entry '{}'", where_, name);
  const Entry& e = it->second;
  if (number(e.offset, 4) != kLocal) damaged(fmt::format("the header of '{}' is missing", name));
  // Both lengths are 16 bits, so nothing overflows once the offset is known to lie in the file.
  const std::uint64_t start = e.offset + 30 + number(e.offset + 26, 2) + number(e.offset + 28, 2);
  if (start > bytes_.size() || bytes_.size() - start < e.compressed) damaged(fmt::format("'{}' runs past the end", name));
  const std::span<const std::uint8_t> data(bytes_.data() + start, e.compressed);
  Bytes content;
  if (e.method == 0) {
    if (e.size != e.compressed) damaged(fmt::format("the sizes of '{}' differ", name));
    content.assign(data.begin(), data.end());
  } else if (e.method == 8) {
    constexpr std::uint64_t kMostPerByte = 1032;  // deflate cannot do better
    if (e.size / kMostPerByte > e.compressed || std::max(e.size, e.compressed) > std::numeric_limits<uInt>::max())
      damaged(fmt::format("'{}' claims {} bytes", name, e.size));
    content.resize(e.size);
    if (!inflate_all(data, content)) damaged(fmt::format("'{}' does not inflate", name));
  } else {
    fail("zip", "{}: the entry '{}' is compressed by method {}; stored and deflated entries are read", where_, name, e.method);
  }
  if (checksum(content) != e.crc) damaged(fmt::format("the checksum of '{}' is wrong", name));
  return content;
}

void ZipWriter::put(Bytes& to, std::uint64_t value, int bytes) const {
  for (int i = 0; i < bytes; ++i) to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void ZipWriter::add(std::string_view name, std::span<const std::uint8_t> content) {
  const std::uint64_t offset = file_.size();
  const std::uint64_t header = offset + 30 + name.size() + 4;  // with an empty extra field
  const std::uint64_t padding = (kAlignment - header % kAlignment) % kAlignment;
  if (header + padding + content.size() + directory_.size() + 200 > kNoValue32 || count_ == 65535)
    fail("zip", "an archive of more than 4 GB or 65,535 entries");
  ++count_;
  const auto common = [&](Bytes& to, std::uint64_t extra) {  // version, flags, method, time, date (1980-01-01), …
    put(to, 20, 2);
    put(to, 0, 2);
    put(to, 0, 2);
    put(to, 0, 2);
    put(to, 0x21, 2);
    put(to, checksum(content), 4);
    put(to, content.size(), 4);
    put(to, content.size(), 4);
    put(to, name.size(), 2);
    put(to, extra, 2);
  };
  put(file_, kLocal, 4);
  common(file_, 4 + padding);
  file_.insert(file_.end(), name.begin(), name.end());
  put(file_, 0x4246, 2);  // "FB", PyTorch's padding field
  put(file_, padding, 2);
  file_.insert(file_.end(), padding, 'Z');
  file_.insert(file_.end(), content.begin(), content.end());
  put(directory_, kCentral, 4);
  put(directory_, 20, 2);
  common(directory_, 0);
  put(directory_, 0, 2 + 2 + 2);  // comment, disk, internal attributes
  put(directory_, 0, 4);
  put(directory_, offset, 4);
  directory_.insert(directory_.end(), name.begin(), name.end());
}

Bytes ZipWriter::finish() {
  const std::uint64_t offset = file_.size();
  file_.insert(file_.end(), directory_.begin(), directory_.end());
  put(file_, kEnd, 4);
  put(file_, 0, 4);
  put(file_, count_, 2);
  put(file_, count_, 2);
  put(file_, directory_.size(), 4);
  put(file_, offset, 4);
  put(file_, 0, 2);
  directory_.clear();
  count_ = 0;
  return std::move(file_);
}

}  // namespace micromind
