// Builds C sources into an image for a target with its core's compiler (arm-none-eabi-gcc,
// riscv64-unknown-elf-gcc), and says what its flash and RAM hold.
//
//   const Target target = emulation_target(load_target("stm32h743"));
//   const BuildResult built = build_image(target, "c/", "build/");       // c/*.c define main()
//   built.flash_bytes, built.image.symbols …
//
// Start-up code, linker script and the helpers of runtime/boards (semihosting, instruction clock, stack mark,
// printing: common, and what differs by architecture in a folder of its own) are written to BUILD/board and linked in; sources include them as "board/print.h". A
// variable goes to another RAM bank than the first by __attribute__((section(".ram.<bank>"))): such memory is
// neither zeroed nor initialised. Constants go to the target's external flash by section(".xflash"). Only memcpy, memset and the other plain functions of the C library link:
// printf, malloc and what else needs an operating system do not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "micromind/deploy/elf.h"
#include "micromind/targets/target.h"

namespace micromind {

struct BuildOptions {
  std::string optimisation = "-O2";                    ///< -O0 to -O3, -Os
  std::vector<std::filesystem::path> include_folders;  ///< besides the sources' own folder and BUILD
  std::vector<std::string> defines;                    ///< "NAME" or "NAME=VALUE"
  std::vector<std::filesystem::path> extra_sources;    ///< .c files of other folders
  double timeout_s = 600;                              ///< for each run of the compiler
};

struct BankUse {
  std::string name;
  std::int64_t used = 0, size = 0;  ///< bytes; in the first bank `used` includes the reserved stack
};

struct BuildResult {
  std::filesystem::path elf;
  std::int64_t text = 0;         ///< bytes of code and constants
  std::int64_t data = 0;         ///< initialised variables: in flash and in RAM
  std::int64_t bss = 0;          ///< variables without content, those of all banks; without the stack
  std::int64_t stack = 0;        ///< reserved
  std::int64_t flash_bytes = 0;  ///< text + data: what is programmed
  std::int64_t external_flash_bytes = 0;  ///< constants of section ".xflash", not part of text
  std::int64_t ram_bytes() const { return data + bss + stack; }
  std::vector<BankUse> banks;  ///< the target's, in its order
  ElfImage image;              ///< sections and symbols with sizes
};

/// Compiles every .c file below `sources` (with -Wall -Wextra -Wpedantic -Wconversion -Werror, as C99) and
/// links BUILD/image.elf. Throws Error when the compiler is missing (naming the package), for what the
/// compiler refuses (with its message) and when the flash or a RAM bank is too small (saying by how much).
BuildResult build_image(const Target& target, const std::filesystem::path& sources,
                        const std::filesystem::path& build, const BuildOptions& options = {});

/// Writes the start-up code, helpers, machine.h and linker script for `target` to `folder`; returns the .c
/// files.
std::vector<std::filesystem::path> write_board_support(const Target& target,
                                                       const std::filesystem::path& folder);

/// Throws Error for a core that no image is built for: the host's.
void need_buildable(const Target& target);

/// Throws Error, naming the package, when the cross compiler of the target's core is missing.
void need_cross_compiler(const Target& target);

/// First line of the compiler's --version: "arm-none-eabi-gcc (15:12.2.rel1-1) 12.2.1 20221205". Throws Error when it is missing.
std::string cross_compiler_version(const Target& target);

}  // namespace micromind
