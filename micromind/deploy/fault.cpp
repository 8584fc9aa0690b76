#include "micromind/deploy/fault.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <sstream>

namespace micromind {
namespace {

constexpr std::uint32_t kUnknown = 0xFFFFFFFF;
constexpr std::uint32_t kGuardBytes = 65536;  // below the stack (startup.c)

struct Cause {
  unsigned bit;
  std::string_view text;
};
// Configurable Fault Status Register (Armv7-M Architecture Reference Manual B3.2.15, Armv8-M D1.2).
constexpr std::array<Cause, 18> kCauses = {
    {{0, "MemManage: instruction fetch from forbidden memory (IACCVIOL)"},
     {1, "MemManage: data access to forbidden memory (DACCVIOL)"},
     {3, "MemManage on return from an exception (MUNSTKERR)"},
     {4, "MemManage while saving registers (MSTKERR)"},
     {5, "MemManage while saving FPU registers (MLSPERR)"},
     {8, "BusFault: instruction fetch from no memory (IBUSERR)"},
     {9, "BusFault: data access to no memory (PRECISERR)"},
     {10, "BusFault: late data access to no memory (IMPRECISERR)"},
     {11, "BusFault on return from an exception (UNSTKERR)"},
     {12, "BusFault while saving registers (STKERR)"},
     {13, "BusFault while saving FPU registers (LSPERR)"},
     {16, "UsageFault: undefined instruction (UNDEFINSTR)"},
     {17, "UsageFault: jump to Arm code or a data address (INVSTATE)"},
     {18, "UsageFault: invalid return from an exception (INVPC)"},
     {19, "UsageFault: FPU or vector unit not enabled (NOCP)"},
     {20, "UsageFault: stack below its limit (STKOF)"},
     {24, "UsageFault: unaligned access (UNALIGNED)"},
     {25, "UsageFault: division by zero (DIVBYZERO)"}}};
constexpr std::uint32_t kMmfarValid = 1u << 7, kBfarValid = 1u << 15,
                        kStackErrors = 1u << 4 | 1u << 12 | 1u << 20;

// Machine cause register ("The RISC-V Instruction Set Manual", volume II, table 3.6).
constexpr std::array<std::string_view, 8> kTraps = {
    {"jump to a misaligned address", "instruction fetch from no memory", "illegal instruction", "breakpoint",
     "misaligned load", "load from no memory", "misaligned store", "store to no memory"}};
constexpr std::uint32_t kTrapLoad = 5, kTrapStore = 7, kTrapFetch = 1;

std::map<std::string, std::uint32_t> read_fields(std::string_view line) {
  std::map<std::string, std::uint32_t> fields;
  std::istringstream words{std::string(line)};
  for (std::string name, value; words >> name >> value;) {
    std::uint32_t number = 0;
    if (value.starts_with("0x")) std::from_chars(value.data() + 2, value.data() + value.size(), number, 16);
    fields[name] = number;
  }
  return fields;
}

std::string place(std::uint32_t address, const ElfImage& image) {
  const ElfSymbol* function = image.function_at(address & ~1u);
  return function != nullptr ? fmt::format("0x{:08x} in '{}'", address, function->name)
                             : fmt::format("0x{:08x}", address);
}

std::string explain_trap(std::map<std::string, std::uint32_t>& fields, const ElfImage& image) {
  const std::uint32_t cause = fields["mcause"], value = fields["mtval"];
  std::string text = cause < kTraps.size() ? std::string(kTraps[cause]) : fmt::format("trap with cause {}", cause);
  const ElfSection* stack = image.section(".stack");
  const bool access = cause == kTrapLoad || cause == kTrapStore;
  if (access && stack != nullptr && value < stack->address && stack->address - value <= kGuardBytes)
    return fmt::format("stack overflow ({})", text);
  // A jump to nowhere was made by a call, whose place is before the return address.
  text += cause == kTrapFetch ? " at " + place(fields["pc"], image) + ", return address " + place(fields["lr"], image)
                              : " at " + place(fields["pc"], image);
  if (access) text += fmt::format(", address accessed 0x{:08x}", value);
  return text;
}

}  // namespace

std::optional<std::string> explain_fault(std::string_view output, const ElfImage& image) {
  constexpr std::string_view mark = "!fault ";
  const auto at = output.rfind(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view line = output.substr(at + mark.size(), output.find('\n', at) - at - mark.size());
  auto fields = read_fields(line);
  if (fields.contains("mcause")) return fmt::format("{} [{}]", explain_trap(fields, image), line);
  const std::uint32_t cfsr = fields["cfsr"], pc = fields["pc"];

  std::string text;
  for (const Cause& cause : kCauses)
    if ((cfsr >> cause.bit & 1u) != 0) text += (text.empty() ? "" : ", ") + std::string(cause.text);
  if (text.empty()) text = fmt::format("HardFault (exception {})", fields["vector"]);
  const ElfSection* stack = image.section(".stack");
  const std::uint32_t bottom = stack != nullptr ? stack->address : 0;
  const auto below_stack = [&](std::uint32_t address) {
    return address < bottom && bottom - address <= kGuardBytes;
  };
  if (pc == kUnknown || (cfsr & kStackErrors) != 0 ||
      ((cfsr & kMmfarValid) != 0 && below_stack(fields["mmfar"])) ||
      ((cfsr & kBfarValid) != 0 && below_stack(fields["bfar"])))
    text = fmt::format("stack overflow ({})", text);
  // An error while saving registers leaves no program counter and no return address.
  const bool saved = pc != kUnknown && (cfsr & kStackErrors) == 0;
  if (saved) text += " at " + place(pc, image);
  if (saved && image.function_at(fields["lr"] & ~1u) != nullptr)
    text += ", return address " + place(fields["lr"], image);
  if ((cfsr & kBfarValid) != 0) text += fmt::format(", address accessed 0x{:08x}", fields["bfar"]);
  if ((cfsr & kMmfarValid) != 0) text += fmt::format(", address accessed 0x{:08x}", fields["mmfar"]);
  return fmt::format("{} [{}]", text, line);
}

}  // namespace micromind
