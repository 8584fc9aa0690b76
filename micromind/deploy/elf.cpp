#include "micromind/deploy/elf.h"

#include <algorithm>
#include <cstring>

#include "micromind/base/error.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

constexpr std::uint16_t kMachineArm = 40, kMachineRiscV = 243;
constexpr std::uint32_t kSectionSymbols = 2, kSectionNoBits = 8;
constexpr std::uint32_t kFlagWrite = 1, kFlagAlloc = 2;
constexpr unsigned kSymbolObject = 1, kSymbolFunction = 2;
constexpr std::uint64_t kAddressSpace = std::uint64_t{1} << 32;

// Where the fields lie, in files of 32 and of 64 bits.
struct Layout {
  bool wide;
  std::uint32_t header, section_table, section_size, section_count, section_names;
  std::uint32_t section, section_flags, section_address, section_offset, section_bytes, section_link, section_entry;
  std::uint32_t symbol, symbol_info, symbol_index, symbol_address, symbol_bytes;
};
constexpr Layout kElf32 = {false, 52, 32, 46, 48, 50, 40, 8, 12, 16, 20, 24, 36, 16, 12, 14, 4, 8};
constexpr Layout kElf64 = {true, 64, 40, 58, 60, 62, 64, 8, 16, 24, 32, 40, 56, 24, 4, 6, 8, 16};

class Reader {
 public:
  Reader(std::span<const std::uint8_t> bytes, std::string_view origin) : bytes_(bytes), origin_(origin) {}

  [[noreturn]] void bad(std::string_view what) const {
    fail_with_hint("elf", "expected the output of a cross compiler", "{}: {}", origin_, what);
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

  /// A word of the file's width. All that we build lies below 2^32.
  std::uint64_t word(const Layout& layout, std::span<const std::uint8_t> data, std::size_t at) const {
    return layout.wide ? u32(data, at) | std::uint64_t{u32(data, at + 4)} << 32 : u32(data, at);
  }
  std::uint32_t address(const Layout& layout, std::span<const std::uint8_t> data, std::size_t at) const {
    const std::uint64_t value = word(layout, data, at);
    if (value >= kAddressSpace) bad("an address beyond 32 bits");
    return static_cast<std::uint32_t>(value);
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
  std::uint32_t name, type, address;
  std::uint64_t flags, offset, size;
  std::uint32_t link;
  std::uint64_t entry_size;
};

struct File {
  const Layout* layout = nullptr;
  bool thumb = false;  ///< function addresses have a bit that is none of the address
  std::uint32_t names_index = 0;
  std::vector<Header> headers;
};

File read_headers(const Reader& reader) {
  const auto start = reader.part(0, kElf32.header, "the header");
  if (std::memcmp(start.data(),
                  "\x7f"
                  "ELF",
                  4) != 0)
    reader.bad("no ELF file");
  File file;
  file.layout = start[4] == 1 ? &kElf32 : start[4] == 2 ? &kElf64 : nullptr;
  if (file.layout == nullptr || start[5] != 1) reader.bad("no little-endian ELF file of 32 or 64 bits");
  const Layout& at = *file.layout;
  const auto header = reader.part(0, at.header, "the header");
  const std::uint32_t machine = Reader::u16(header, 18);
  if (machine != kMachineRiscV && (machine != kMachineArm || at.wide))
    reader.bad("an ELF file of another processor than Arm or RISC-V");
  file.thumb = machine == kMachineArm;
  const std::uint64_t offset = reader.word(at, header, at.section_table);
  const std::uint32_t size = Reader::u16(header, at.section_size), count = Reader::u16(header, at.section_count);
  file.names_index = Reader::u16(header, at.section_names);
  if (count == 0 || size != at.section || file.names_index >= count) reader.bad("no usable section table");
  const auto table = reader.part(offset, std::uint64_t{size} * count, "the section table");
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto row = table.subspan(std::size_t{i} * size, size);
    file.headers.push_back({Reader::u32(row, 0), Reader::u32(row, 4), reader.address(at, row, at.section_address),
                            reader.word(at, row, at.section_flags), reader.word(at, row, at.section_offset),
                            reader.word(at, row, at.section_bytes), Reader::u32(row, at.section_link),
                            reader.word(at, row, at.section_entry)});
    if (file.headers.back().size >= kAddressSpace) reader.bad("a section beyond 32 bits");
  }
  return file;
}

void read_symbols(const Reader& reader, const File& file, const Header& table, ElfImage& image) {
  const Layout& at = *file.layout;
  const std::vector<Header>& headers = file.headers;
  if (table.link >= headers.size() || table.entry_size != at.symbol) reader.bad("no usable symbol table");
  const auto rows = reader.part(table.offset, table.size, "the symbol table");
  const auto names = reader.part(headers[table.link].offset, headers[table.link].size, "the symbols' names");
  for (std::size_t from = 0; from + at.symbol <= rows.size(); from += at.symbol) {
    const auto row = rows.subspan(from, at.symbol);
    const unsigned type = row[at.symbol_info] & 0xFu;
    const std::uint32_t index = Reader::u16(row, at.symbol_index);
    if ((type != kSymbolObject && type != kSymbolFunction) || index == 0 || index >= headers.size()) continue;
    ElfSymbol symbol;
    symbol.name = reader.text(names, Reader::u32(row, 0));
    symbol.section = image.sections[index].name;
    symbol.function = type == kSymbolFunction;
    symbol.address = reader.address(at, row, at.symbol_address) & ~(symbol.function && file.thumb ? 1u : 0u);
    symbol.bytes = static_cast<std::int64_t>(reader.word(at, row, at.symbol_bytes) & (kAddressSpace - 1));
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
  const File file = read_headers(reader);
  const std::vector<Header>& headers = file.headers;
  const auto names =
      reader.part(headers[file.names_index].offset, headers[file.names_index].size, "the sections' names");
  ElfImage image;
  for (const Header& h : headers) {
    const bool in_file = h.type != kSectionNoBits && h.type != 0;
    if (in_file) reader.part(h.offset, h.size, "a section");
    image.sections.push_back({reader.text(names, h.name), h.address, static_cast<std::int64_t>(h.size), (h.flags & kFlagAlloc) != 0,
                              (h.flags & kFlagWrite) != 0, in_file});
  }
  for (const Header& h : headers)
    if (h.type == kSectionSymbols) read_symbols(reader, file, h, image);
  std::sort(image.symbols.begin(), image.symbols.end(), [](const ElfSymbol& a, const ElfSymbol& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.name < b.name;
  });
  return image;
}

ElfImage read_elf(const std::filesystem::path& path) {
  return parse_elf(read_bytes(path), path.string());
}

}  // namespace micromind
