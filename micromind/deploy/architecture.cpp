#include "micromind/deploy/architecture.h"

#include "micromind/base/error.h"

namespace micromind {

const Architecture& architecture_of(Core core) {
  // The boards of MPS have a network device that wants a network; nothing may get out.
  static const Architecture cortex_m = {"cortex_m",
                                        std::string(core_compiler(Core::kCortexM4)),
                                        "gcc-arm-none-eabi libnewlib-arm-none-eabi",
                                        true,
                                        "qemu-system-arm",
                                        {"-nic", "user,restrict=on"}};
  // Debian's C library for bare RISC-V takes a gigabyte; the kernels need memcpy and its kin.
  static const Architecture riscv = {"riscv",
                                     std::string(core_compiler(Core::kRv32imc)),
                                     "gcc-riscv64-unknown-elf",
                                     false,
                                     "qemu-system-misc",
                                     {"-bios", "none", "-nic", "none"}};
  if (core == Core::kHost)
    fail_with_hint("cross", "compile model.c with this computer's compiler: the emitted folder has a Makefile and a self test",
                   "images are built and emulated for chips, and this target's core is the host");
  return is_cortex_m(core) ? cortex_m : riscv;
}

std::string emulator_program(Core core) {
  if (is_cortex_m(core)) return "qemu-system-arm";
  return core == Core::kRv32imc ? "qemu-system-riscv32" : "qemu-system-riscv64";
}

}  // namespace micromind
