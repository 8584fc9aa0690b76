// What differs by architecture when images are built and emulated: compiler, C library, emulator and the folder of
// runtime/boards with start-up code and linker script. One row each; adding an architecture is a row, such a folder,
// and its trap causes in fault.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "micromind/targets/target.h"

namespace micromind {

struct Architecture {
  std::string_view name;          ///< "cortex_m": the folder in runtime/boards
  std::string compiler;           ///< "arm-none-eabi-gcc"
  std::string compiler_packages;  ///< Debian's, as for apt install
  bool c_library = true;          ///< the compiler has one; else runtime/boards/<name> brings the little that is needed
  std::string emulator_package;
  std::vector<std::string> emulator_options;  ///< that every machine of it takes
};

/// Throws Error, saying so, for the host: no image is built for it.
const Architecture& architecture_of(Core core);

/// "qemu-system-arm", "qemu-system-riscv32", "qemu-system-riscv64".
std::string emulator_program(Core core);

}  // namespace micromind
