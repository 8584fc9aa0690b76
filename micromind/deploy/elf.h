// Reads what a linked image for Arm or RISC-V holds: sections and symbols with their sizes (ELF: TIS 1.2, Arm
// AAELF32, RISC-V ELF psABI; 64-bit files: System V ABI). Everything that we build lies below 2^32.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace micromind {

struct ElfSection {
  std::string name;
  std::uint32_t address = 0;
  std::int64_t bytes = 0;
  bool allocated = false;  ///< takes memory on the chip
  bool writable = false;   ///< lies in RAM
  bool in_file = false;    ///< has content, so it takes flash
};

struct ElfSymbol {
  std::string name, section;
  std::uint32_t address = 0;  ///< without the Thumb bit
  std::int64_t bytes = 0;     ///< 0 where the assembler gave none
  bool function = false;      ///< else an object
};

struct ElfImage {
  std::vector<ElfSection> sections;
  std::vector<ElfSymbol> symbols;  ///< functions and objects, the largest first

  const ElfSection* section(std::string_view name) const;     ///< or null
  const ElfSymbol* symbol(std::string_view name) const;       ///< or null
  const ElfSymbol* function_at(std::uint32_t address) const;  ///< the one that contains the address, or null
};

/// Throws Error when the bytes are no little-endian ELF file of these processors or one of its tables leaves the file.
ElfImage parse_elf(std::span<const std::uint8_t> bytes, std::string_view origin);
ElfImage read_elf(const std::filesystem::path& path);

}  // namespace micromind
