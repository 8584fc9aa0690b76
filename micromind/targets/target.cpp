#include "micromind/targets/target.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/targets/toml_reader.h"

namespace micromind {
namespace {

constexpr std::int64_t kAddressSpace = std::int64_t{1} << 32;
constexpr std::string_view kFolder = "targets/", kExtension = ".toml";

struct CoreRow {
  Core core;
  std::string_view name;
  bool dsp, mve;  // what the core can have
  Fpu fpu;        // the most it can have
};
// Arm's Cortex-M processor comparison table. RISC-V: imc has no F, gc has F and D; neither has the vector or
// the packed-SIMD extension.
constexpr std::array<CoreRow, 10> kCores = {{{Core::kHost, "host", false, false, Fpu::kDouble},
                                             {Core::kCortexM0, "cortex-m0", false, false, Fpu::kNone},
                                             {Core::kCortexM0Plus, "cortex-m0plus", false, false, Fpu::kNone},
                                             {Core::kCortexM3, "cortex-m3", false, false, Fpu::kNone},
                                             {Core::kCortexM4, "cortex-m4", true, false, Fpu::kSingle},
                                             {Core::kCortexM7, "cortex-m7", true, false, Fpu::kDouble},
                                             {Core::kCortexM33, "cortex-m33", true, false, Fpu::kSingle},
                                             {Core::kCortexM55, "cortex-m55", true, true, Fpu::kDouble},
                                             {Core::kRv32imc, "rv32imc", false, false, Fpu::kNone},
                                             {Core::kRv64gc, "rv64gc", false, false, Fpu::kDouble}}};

bool is_identifier(std::string_view name, std::string_view extra) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || extra.find(c) != std::string_view::npos;
  });
}

// "nrf51-soc.sram-size=65536". No comma, which would begin another property; a value is a number or a word.
bool is_property(std::string_view text) {
  const auto dot = text.find('.'), equals = text.find('=');
  return dot < equals && equals != std::string_view::npos && is_identifier(text.substr(0, dot), "-_") &&
         is_identifier(text.substr(dot + 1, equals - dot - 1), "-_") &&
         is_identifier(text.substr(equals + 1), "-_");
}

const CoreRow& read_core(TomlReader& reader) {
  const std::string name = reader.text("core");
  std::vector<std::string> names;
  for (const CoreRow& row : kCores) {
    if (row.name == name) return row;
    names.emplace_back(row.name);
  }
  reader.wrong("core", fmt::format("unknown core '{}'", name), name_hint(name, names));
}

MemoryBank read_bank(TomlReader& reader, std::string name) {
  MemoryBank bank;
  bank.name = std::move(name);
  bank.address = static_cast<std::uint32_t>(reader.integer("address", 0, kAddressSpace - 1));
  bank.bytes = reader.bytes("bytes", kAddressSpace);
  if (bank.address + bank.bytes > kAddressSpace)
    reader.wrong("bytes", fmt::format("{} bytes from 0x{:08x} leave the 32-bit address space", bank.bytes,
                                      bank.address));
  if (reader.has("wait_states")) bank.wait_states = static_cast<int>(reader.integer("wait_states", 0, 1000));
  if (bank.address % 8 != 0)
    reader.wrong("address", fmt::format("0x{:08x} is no multiple of 8", bank.address));
  return bank;
}

void read_flash(TomlReader flash, Target& target) {
  target.flash = read_bank(flash, "flash");
  if (flash.has("vectors")) {
    const auto address = static_cast<std::uint32_t>(flash.integer("vectors", 0, kAddressSpace - 1));
    if (address % 512 != 0) flash.wrong("vectors", fmt::format("0x{:08x} is no multiple of 512", address));
    if (address != target.flash.address) target.vectors_address = address;
  }
  if (flash.has("wait_cycles") || flash.has("line_bytes") || flash.has("timing_source"))
    target.flash_timing = FlashTiming{flash.integer("wait_cycles", 0, 10'000), flash.integer("line_bytes", 1, 4096),
                                      flash.text("timing_source")};
  flash.finish();
}

void read_ram(TomlReader& root, Target& target) {
  for (TomlReader& reader : root.tables("ram")) {
    const std::string name = reader.text("name");
    if (!is_identifier(name, "_"))
      reader.wrong("name", fmt::format("'{}' has other than a-z, 0-9 and _", name));
    MemoryBank bank = read_bank(reader, name);
    for (const MemoryBank& other : target.ram) {
      if (other.name == name) reader.wrong("name", fmt::format("a second bank named '{}'", name));
      if (bank.address < other.address + other.bytes && other.address < bank.address + bank.bytes)
        reader.wrong("address", fmt::format("bank '{}' overlaps bank '{}'", name, other.name));
    }
    target.ram.push_back(std::move(bank));
    reader.finish();
  }
  if (target.ram.empty()) root.wrong("ram", "expected at least one bank");
}

void read_external_flash(TomlReader reader, Target& target) {
  MemoryBank bank = read_bank(reader, "xflash");
  const auto overlaps = [&](const MemoryBank& other) {
    return bank.address < other.address + other.bytes && other.address < bank.address + bank.bytes;
  };
  if (overlaps(target.flash)) reader.wrong("address", "the external flash overlaps the flash");
  for (const MemoryBank& ram : target.ram)
    if (overlaps(ram)) reader.wrong("address", fmt::format("the external flash overlaps RAM bank '{}'", ram.name));
  target.external_flash = std::move(bank);
  reader.finish();
}

void read_features(TomlReader reader, const CoreRow& core, Target& target) {
  target.features.dsp = reader.boolean("dsp");
  target.features.mve = reader.boolean("mve");
  const std::string fpu = reader.text("fpu");
  const std::vector<std::string> names = {"none", "single", "double"};
  const auto found = std::find(names.begin(), names.end(), fpu);
  if (found == names.end()) reader.wrong("fpu", fmt::format("unknown kind '{}'", fpu), name_hint(fpu, names));
  target.features.fpu = static_cast<Fpu>(found - names.begin());
  if (target.features.dsp && !core.dsp)
    reader.wrong("dsp", fmt::format("a {} has no DSP extension", core.name));
  if (target.features.mve && !core.mve)
    reader.wrong("mve", fmt::format("a {} has no vector extension", core.name));
  if (target.features.fpu > core.fpu)
    reader.wrong("fpu", fmt::format("a {} has no FPU of kind '{}'", core.name, fpu));
  reader.finish();
}

void read_compiler(TomlReader reader, Target& target) {
  target.compiler_flags = reader.texts("flags");
  for (const std::string& flag : target.compiler_flags)
    if (flag.rfind("-m", 0) != 0) reader.wrong("flags", fmt::format("'{}' is no machine flag (-m…)", flag));
  if (target.compiler_flags.empty() && target.core != Core::kHost)
    reader.wrong("flags", fmt::format("expected at least {}, found none",
                                      is_cortex_m(target.core) ? "-mcpu=…" : "-march=… and -mabi=…"));
  reader.finish();
}

void read_emulator(TomlReader& root, Target& target) {
  if (root.has("emulated_by")) target.emulated_by = root.text("emulated_by");
  if (!root.has("emulator")) return;
  if (!target.emulated_by.empty())
    root.wrong("emulated_by", "a target with [emulator] needs no other machine");
  TomlReader reader = root.table("emulator");
  Emulator emulator;
  emulator.machine = reader.text("machine");
  if (!is_identifier(emulator.machine, "-."))
    reader.wrong("machine", fmt::format("'{}' is no QEMU machine", emulator.machine));
  emulator.tick_ns = reader.positive("tick_ns");
  if (emulator.tick_ns < 0.001 || emulator.tick_ns > 1e6)
    reader.wrong("tick_ns", "expected 0.001 to 1000000");
  if (reader.has("cpu")) emulator.cpu = reader.text("cpu");
  if (!emulator.cpu.empty() && !is_identifier(emulator.cpu, "-_=,."))
    reader.wrong("cpu", fmt::format("'{}' is no processor of QEMU", emulator.cpu));
  if (reader.has("properties")) emulator.properties = reader.texts("properties");
  for (const std::string& text : emulator.properties)
    if (!is_property(text))
      reader.wrong("properties",
                   fmt::format("'{}' is no property of a device (device.property=number)", text));
  reader.finish();
  target.emulator = std::move(emulator);
}

Target read_target(TomlReader root) {
  Target target;
  target.name = root.text("name");
  if (!is_identifier(target.name, "-_."))
    root.wrong("name", fmt::format("'{}' has other than a-z, 0-9, -, _ and .", target.name));
  target.description = root.text("description");
  target.source = root.text("source");
  const CoreRow& core = read_core(root);
  target.core = core.core;
  target.clock_hz = root.integer("clock_hz", 1, 100'000'000'000);
  read_flash(root.table("flash"), target);
  read_ram(root, target);
  if (root.has("external_flash")) read_external_flash(root.table("external_flash"), target);
  target.stack_bytes = root.bytes("stack", target.main_bank().bytes);
  if (target.stack_bytes < 512 || target.stack_bytes % 8 != 0)
    root.wrong("stack", fmt::format("expected a multiple of 8 from 512 on, found {}", target.stack_bytes));
  read_features(root.table("features"), core, target);
  read_compiler(root.table("compiler"), target);
  read_emulator(root, target);
  if (root.has("power")) {
    TomlReader power = root.table("power");
    target.power = Power{power.positive("active_mw"), power.text("source"), std::nullopt, ""};
    if (power.has("sleep_mw") || power.has("sleep_source")) {
      target.power->sleep_mw = power.positive("sleep_mw");
      target.power->sleep_source = power.text("sleep_source");
    }
    power.finish();
  }
  root.finish();
  return target;
}

// A place of `bytes` in one of the machine's banks, of which the first `used[i]` bytes are taken.
std::uint32_t place(const Target& machine, std::vector<std::int64_t>& used, const MemoryBank& bank,
                    const Target& board) {
  for (std::size_t i = 0; i < machine.ram.size(); ++i) {
    if (machine.ram[i].bytes - used[i] < bank.bytes) continue;
    const auto address = static_cast<std::uint32_t>(machine.ram[i].address + used[i]);
    used[i] += (bank.bytes + 1023) / 1024 * 1024;
    return address;
  }
  fail("target", "{}: the emulated machine {} has no room for RAM bank '{}' of {}", board.name, machine.name,
       bank.name, format_bytes(bank.bytes));
}

// In the machine's largest free room: a RAM that the emulator fills from the image before it starts. What the machine lacks
// is cut off, so that an image which links there still fits the board; nothing at all where no room is left.
void place_external_flash(const Target& machine, const std::vector<std::int64_t>& used, MemoryBank& bank) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < machine.ram.size(); ++i)
    if (machine.ram[i].bytes - used[i] > machine.ram[best].bytes - used[best]) best = i;
  bank.address = static_cast<std::uint32_t>(machine.ram[best].address + used[best]);
  bank.bytes = std::min(bank.bytes, machine.ram[best].bytes - used[best]);
}

bool executes(Core machine, Core board) {
  return machine == board || (machine == Core::kCortexM0 && board == Core::kCortexM0Plus);
}

[[noreturn]] void fail_not_emulated(const Target& target) {
  std::string machines;
  for (const std::string& name : target_names())
    if (const Target other = load_target(name); other.emulator && executes(other.core, target.core))
      machines += fmt::format("{}emulated_by = \"{}\"", machines.empty() ? "" : " or ", name);
  const std::string instead =
      "without emulation the image is built and its sizes are measured: leave out --emulate";
  fail_with_hint(
      "target",
      machines.empty() ? instead : fmt::format("{}; or name a machine in its TOML: {}", instead, machines),
      "nothing emulates {}, whose core is {}", target.name, core_name(target.core));
}

}  // namespace

std::string_view core_name(Core core) {
  for (const CoreRow& row : kCores)
    if (row.core == core) return row.name;
  fail("target", "no core has the number {}", static_cast<int>(core));
}

bool is_cortex_m(Core core) {
  return core_name(core).starts_with("cortex-m");
}

std::string_view core_compiler(Core core) {
  if (core == Core::kHost) return "cc";
  return is_cortex_m(core) ? "arm-none-eabi-gcc" : "riscv64-unknown-elf-gcc";
}

std::int64_t Target::ram_bytes() const {
  std::int64_t total = 0;
  for (const MemoryBank& bank : ram) total += bank.bytes;
  return total;
}

std::vector<std::string> target_names() {
  return resource_stems(kFolder, kExtension);
}

Target parse_target(std::string_view toml, std::string_view origin) {
  toml::table table;
  try {
    table = toml::parse(toml, origin);
  } catch (const toml::parse_error& error) {
    fail("target", "{}: line {}: {}", origin, error.source().begin.line, error.description());
  }
  return read_target(TomlReader(table, std::string(origin)));
}

Target load_target(std::string_view name_or_path) {
  if (name_or_path.ends_with(kExtension) || name_or_path.find('/') != std::string_view::npos)
    return parse_target(read_text(std::filesystem::path(name_or_path)), name_or_path);
  const std::vector<std::string> names = target_names();
  if (std::find(names.begin(), names.end(), name_or_path) == names.end())
    fail_with_hint("target", name_hint(name_or_path, names) + " (your own: the path of a .toml file)",
                   "unknown target '{}'", name_or_path);
  const std::string file = fmt::format("{}{}{}", kFolder, name_or_path, kExtension);
  return parse_target(resource(file), file);
}

Target emulation_target(const Target& target) {
  if (target.emulator) return target;
  if (target.emulated_by.empty()) fail_not_emulated(target);
  const Target machine = load_target(target.emulated_by);
  if (!machine.emulator)
    fail("target", "{}: emulated_by names {}, which is no emulated machine", target.name, machine.name);
  if (!executes(machine.core, target.core))
    fail("target", "{} is a {}, but the machine that should emulate it, {}, is a {}", target.name,
         core_name(target.core), machine.name, core_name(machine.core));
  if (machine.flash.bytes < target.flash.bytes)
    fail("target", "{}: the emulated machine {} has {} of flash, the board {}", target.name, machine.name,
         format_bytes(machine.flash.bytes), format_bytes(target.flash.bytes));
  Target stand_in = target;
  stand_in.emulator = machine.emulator;
  stand_in.emulated_by.clear();
  stand_in.flash.address = machine.flash.address;
  stand_in.vectors_address = machine.vectors_address;
  std::vector<std::int64_t> used(machine.ram.size(), 0);
  for (MemoryBank& bank : stand_in.ram) bank.address = place(machine, used, bank, target);
  if (stand_in.external_flash) place_external_flash(machine, used, *stand_in.external_flash);
  return stand_in;
}

}  // namespace micromind
