#include "micromind/deploy/elf.h"

#include <algorithm>
#include <cstring>

#include "micromind/base/error.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

constexpr std::uint16_t kMachineArm = 40;
constexpr std::uint32_t kSectionSymbols = 2, kSectionNoBits = 8;
constexpr std::uint32_t kFlagWrite = 1, kFlagAlloc = 2;
constexpr std::uint32_t kHeaderBytes = 52, kSectionBytes = 40, kSymbolBytes = 16;
constexpr unsigned kSymbolObject = 1, kSymbolFunction = 2;

class Reader {
 public:
  Reader(std::span<const std::uint8_t> bytes, std::string_view origin) : bytes_(bytes), origin_(origin) {}

  [[noreturn]] void bad(std::string_view what) const {
    fail_with_hint("elf", "expected the output of arm-none-eabi-gcc", "{}: {}", origin_, what);
  }

  std::span<const std::uint8_t> part(std::uint64_t offset, std::uint64_t size, std::string_view what) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset)
      bad(fmt::format("{} leaves the file ({} bytes at {} of {})", what, size, offset, bytes_.size()));
    return bytes_.subspan(offset, size);
  }

  static std::uint32_t u16(std::span<const std::uint8_t> data, std::size_t at) {
    return static_cast<std::uint32_t>(data[at] | data[at + 1] << 8);
  }
  static std::uint32_t u32(std::span<const std::uint8_t> data, std::size_t at) {
    return u16(data, at) | u16(data, at + 2) << 16;
  }

  std::string text(std::span<const std::uint8_t> table, std::uint32_t at) const {
    if (at >= table.size()) bad("a name leaves its string table");
    const auto begin = table.begin() + at, end = std::find(begin, table.end(), std::uint8_t{0});
    if (end == table.end()) bad("a name has no end");
    return {begin, end};
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::string_view origin_;
};

struct Header {
  std::uint32_t name, type, flags, address, offset, size, link, entry_size;
};

std::vector<Header> read_headers(const Reader& reader, std::uint32_t& names_index) {
  const auto file = reader.part(0, kHeaderBytes, "the header");
  if (std::memcmp(file.data(),
                  "\x7f"
                  "ELF",
                  4) != 0)
    reader.bad("no ELF file");
  if (file[4] != 1 || file[5] != 1) reader.bad("no 32-bit little-endian ELF file");
  if (Reader::u16(file, 18) != kMachineArm) reader.bad("an ELF file of another processor than Arm");
  const std::uint32_t offset = Reader::u32(file, 32), size = Reader::u16(file, 46),
                      count = Reader::u16(file, 48);
  names_index = Reader::u16(file, 50);
  if (count == 0 || size != kSectionBytes || names_index >= count) reader.bad("no usable section table");
  const auto table = reader.part(offset, std::uint64_t{size} * count, "the section table");
  std::vector<Header> headers;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto row = table.subspan(i * kSectionBytes, kSectionBytes);
    const auto word = [&](std::size_t n) { return Reader::u32(row, 4 * n); };
    headers.push_back({word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(9)});
  }
  return headers;
}

void read_symbols(const Reader& reader, const std::vector<Header>& headers, const Header& table,
                  ElfImage& image) {
  if (table.link >= headers.size() || table.entry_size != kSymbolBytes) reader.bad("no usable symbol table");
  const auto rows = reader.part(table.offset, table.size, "the symbol table");
  const auto names = reader.part(headers[table.link].offset, headers[table.link].size, "the symbols' names");
  for (std::size_t at = 0; at + kSymbolBytes <= rows.size(); at += kSymbolBytes) {
    const unsigned type = rows[at + 12] & 0xFu;
    const std::uint32_t index = Reader::u16(rows, at + 14);
    if ((type != kSymbolObject && type != kSymbolFunction) || index == 0 || index >= headers.size()) continue;
    ElfSymbol symbol;
    symbol.name = reader.text(names, Reader::u32(rows, at));
    symbol.section = image.sections[index].name;
    symbol.function = type == kSymbolFunction;
    symbol.address = Reader::u32(rows, at + 4) & ~(symbol.function ? 1u : 0u);
    symbol.bytes = Reader::u32(rows, at + 8);
    image.symbols.push_back(std::move(symbol));
  }
}

}  // namespace

const ElfSection* ElfImage::section(std::string_view name) const {
  for (const ElfSection& s : sections)
    if (s.name == name) return &s;
  return nullptr;
}

const ElfSymbol* ElfImage::symbol(std::string_view name) const {
  for (const ElfSymbol& s : symbols)
    if (s.name == name) return &s;
  return nullptr;
}

const ElfSymbol* ElfImage::function_at(std::uint32_t address) const {
  for (const ElfSymbol& s : symbols)
    if (s.function && address >= s.address && address - s.address < s.bytes) return &s;
  return nullptr;
}

ElfImage parse_elf(std::span<const std::uint8_t> bytes, std::string_view origin) {
  const Reader reader(bytes, origin);
  std::uint32_t names_index = 0;
  const std::vector<Header> headers = read_headers(reader, names_index);
  const auto names =
      reader.part(headers[names_index].offset, headers[names_index].size, "the sections' names");
  ElfImage image;
  for (const Header& h : headers) {
    const bool in_file = h.type != kSectionNoBits && h.type != 0;
    if (in_file) reader.part(h.offset, h.size, "a section");
    image.sections.push_back({reader.text(names, h.name), h.address, h.size, (h.flags & kFlagAlloc) != 0,
                              (h.flags & kFlagWrite) != 0, in_file});
  }
  for (const Header& h : headers)
    if (h.type == kSectionSymbols) read_symbols(reader, headers, h, image);
  std::sort(image.symbols.begin(), image.symbols.end(), [](const ElfSymbol& a, const ElfSymbol& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.name < b.name;
  });
  return image;
}

ElfImage read_elf(const std::filesystem::path& path) {
  return parse_elf(read_bytes(path), path.string());
}

}  // namespace micromind
