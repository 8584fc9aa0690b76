// Boards and emulated machines: what a core can do and how much memory surrounds it.
//
//   const Target board = load_target("stm32h743");          // or a path: "my/board.toml"
//   board.ram_bytes();                                      // all banks together
//   const Target machine = emulation_target(board);         // the same budget, on the machine QEMU emulates
//
// A target is one TOML file in targets/ (embedded in the binary); adding one needs no code. Keys:
//
//   name, description, source (data sheet), core, clock_hz, stack (bytes), emulated_by (optional)
//   [flash]     address, bytes, vectors (optional: where the core reads its vector table, default
//   flash.address), wait_cycles, line_bytes, timing_source (optional, together: FlashTiming)
//   [[ram]]     name, address, bytes          the first bank holds stack, .data and .bss; their order is the
//               order of preference for activations, wait_states (optional)
//   [external_flash]  address, bytes, wait_states (optional): memory-mapped, for weights          optional
//   [features]  dsp, mve, fpu ("none", "single", "double")
//   [compiler]  flags (machine flags of the core's compiler: -mcpu=…, -mfpu=…, -mfloat-abi=…; -march=…,
//               -mabi=…, -mcmodel=…)
//   [emulator]  machine (QEMU's -M), tick_ns (one tick of SysTick, or of minstret on RISC-V), cpu (optional: QEMU's
//               -cpu), properties (optional: of devices, such as "nrf51-soc.sram-size=65536")  emulated machines only
//   [power]     active_mw, source                                              optional
//               sleep_mw, sleep_source (optional, together)
//
// Byte quantities are integers or text such as "512kB" (kB and MB are 2^10 and 2^20).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace micromind {

enum class Core {
  kHost,
  kCortexM0,
  kCortexM0Plus,
  kCortexM3,
  kCortexM4,
  kCortexM7,
  kCortexM33,
  kCortexM55,
  kRv32imc,  ///< RISC-V, 32 bits: ESP32-C3
  kRv64gc,   ///< RISC-V, 64 bits with double precision: Kendryte K210
};
std::string_view core_name(Core core);  ///< "cortex-m7", "rv32imc", "host"

bool is_cortex_m(Core core);

/// The C compiler of a core, as Debian names it: "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "cc".
std::string_view core_compiler(Core core);

enum class Fpu { kNone, kSingle, kDouble };

struct Features {
  bool dsp = false;  ///< SMLAD, SXTB16 and their kin: two 16-bit multiply-accumulates an instruction
  bool mve = false;  ///< M-profile vector extension (Helium), 128-bit vectors
  Fpu fpu = Fpu::kNone;
};

struct MemoryBank {
  std::string name;
  std::uint32_t address = 0;
  std::int64_t bytes = 0;
  int wait_states = 0;  ///< of a read, in cycles of the core, as far as the file says
};

struct Emulator {
  std::string machine;  ///< QEMU's -M
  double tick_ns = 0;   ///< emulated nanoseconds a tick of the core's clock, for converting ticks to instructions
  std::string cpu;      ///< QEMU's -cpu; empty: the machine's own
  std::vector<std::string> properties;  ///< QEMU's -global, "device.property=value"
};

struct Power {
  double active_mw = 0;  ///< while computing
  std::string source;
  std::optional<double> sleep_mw;  ///< between inferences, RAM kept; as a data sheet has it
  std::string sleep_source;
};

/// Reading the flash at the target's clock, where nothing is cached.
struct FlashTiming {
  std::int64_t wait_cycles = 0;  ///< of the core, beyond the first, for a line
  std::int64_t line_bytes = 0;   ///< that one read fetches
  std::string source;
};

struct Target {
  std::string name, description, source;
  Core core = Core::kHost;
  std::int64_t clock_hz = 0;
  std::int64_t stack_bytes = 0;  ///< reserved in the first RAM bank
  MemoryBank flash;
  std::optional<std::uint32_t> vectors_address;  ///< when the vector table is not at the start of the flash
  std::vector<MemoryBank> ram;                   ///< at least one; the first holds stack, .data and .bss
  std::optional<MemoryBank> external_flash;      ///< memory-mapped (QSPI, OctoSPI), for weights
  Features features;
  std::vector<std::string> compiler_flags;
  std::optional<Emulator> emulator;  ///< present on emulated machines
  std::string emulated_by;           ///< the emulated machine that stands in for this board; may be empty
  std::optional<Power> power;
  std::optional<FlashTiming> flash_timing;

  std::int64_t ram_bytes() const;  ///< all banks
  const MemoryBank& main_bank() const { return ram.front(); }
  bool can_emulate() const { return emulator.has_value() || !emulated_by.empty(); }
};

/// A built-in target by name, or one from a file when the text ends in ".toml" or contains a '/'.
/// Throws Error for an unknown name (naming the nearest), a missing, unknown, mistyped or out-of-range key
/// (naming file and key), overlapping banks, features the core does not have.
Target load_target(std::string_view name_or_path);

/// The same from TOML text; `origin` names it in errors.
Target parse_target(std::string_view toml, std::string_view origin);

/// Names of the built-in targets, sorted.
std::vector<std::string> target_names();

/// What to build for and run in order to emulate `target`: itself when it is an emulated machine; for a
/// board, the board with its own flash and bank sizes moved to addresses that the machine of `emulated_by`
/// has, so that an image that links for it fits the board. A Cortex-M0 machine stands in for a Cortex-M0+:
/// both execute Armv6-M and no other instruction. Throws Error, saying what can be done instead, when nothing
/// emulates it or the machine is smaller.
Target emulation_target(const Target& target);

}  // namespace micromind
