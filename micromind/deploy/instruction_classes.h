// What kind of work a Thumb-2 instruction is: the basis of counting by class on emulated cores
// (micromind/plugin counts with this very code inside QEMU) and of the cycle estimate (cycle_model.h).
//
// Encodings: Arm "Armv8-M Architecture Reference Manual" (DDI 0553), which holds Armv6-M and Armv7-M too,
// DSP, FP and MVE extensions included. This file needs the standard library and nothing else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace micromind {

enum class InstructionClass : std::uint8_t {
  arithmetic,           ///< moves, additions, logic, shifts, extensions, bit fields, comparisons, hints, SSAT
  multiply,             ///< MUL
  multiply_accumulate,  ///< MLA, MLS
  multiply_long,        ///< 64-bit products: SMULL, UMULL, SMLAL, UMLAL, UMAAL
  divide,               ///< SDIV, UDIV
  dsp,                  ///< DSP extension without multiplying: SADD16, SXTB16, SXTAB, QADD, SEL, USAD8
  dsp_multiply,         ///< DSP extension, multiplying: SMLAD, SMULBB, SMLALD, SMMUL
  load,                 ///< one byte, half or word
  store,
  load_multiple,   ///< LDM, POP, LDRD: words are counted beside it
  store_multiple,  ///< STM, PUSH, STRD
  branch,          ///< B, BL, BX, BLX, TBB, a move to pc
  branch_conditional,
  loop_end,  ///< LE, LETP of low-overhead loops
  if_then,   ///< IT
  float_arithmetic,
  float_multiply_accumulate,  ///< VMLA, VFMA and their negatives
  float_divide,               ///< VDIV, VSQRT
  float_move,                 ///< between core and FP or vector registers, lanes, VDUP
  float_load,                 ///< VLDR, VLDM, VPOP: words are counted beside it
  float_store,
  mve_load,
  mve_store,
  mve_multiply,    ///< products, multiply-accumulate and dot products across a vector
  mve_arithmetic,  ///< all else on vectors, predicates included
  system,          ///< MSR, MRS, barriers, CPS, SVC, BKPT, DLS, WLS, coprocessors
};
inline constexpr std::size_t kInstructionClasses = static_cast<std::size_t>(InstructionClass::system) + 1;

std::string_view instruction_class_name(InstructionClass c);  ///< "load_multiple"

struct DecodedInstruction {
  InstructionClass kind = InstructionClass::system;
  std::uint8_t words = 0;  ///< 32-bit words moved by *_multiple and float_load/store
  bool writes_pc = false;  ///< a load that is also a branch: POP {…, pc}, LDR pc
  bool operator==(const DecodedInstruction&) const = default;
};

/// `first` and `second` are the halfwords in memory order; `second` is ignored for 16-bit instructions.
DecodedInstruction decode_thumb(std::uint16_t first, std::uint16_t second);

/// 4 for the prefixes 0b11101, 0b11110 and 0b11111, else 2.
inline int thumb_bytes(std::uint16_t first) {
  return (first & 0xE000) == 0xE000 && (first & 0x1800) != 0 ? 4 : 2;
}

/// What a stretch of code executed.
struct InstructionCounts {
  std::array<std::uint64_t, kInstructionClasses> of{};
  std::uint64_t words = 0;          ///< moved by load_multiple, store_multiple, float_load, float_store
  std::uint64_t pc_loads = 0;       ///< loads that are also branches
  std::uint64_t taken = 0;          ///< branch_conditional and loop_end that were taken
  std::uint64_t chained_loads = 0;  ///< `load` directly behind a `load`, in one basic block
  std::uint64_t overlapped_mve =
      0;  ///< MVE behind an MVE instruction of another unit (memory, multiply, the rest)

  std::uint64_t& operator[](InstructionClass c) { return of[static_cast<std::size_t>(c)]; }
  std::uint64_t operator[](InstructionClass c) const { return of[static_cast<std::size_t>(c)]; }
  std::uint64_t total() const;
  std::uint64_t loads() const;  ///< load instructions of every kind
  std::uint64_t stores() const;
  InstructionCounts& operator+=(const InstructionCounts& other);
  bool operator==(const InstructionCounts&) const = default;

  /// Every figure in one fixed order, for the plugin's file: visit(std::uint64_t&) each.
  template <class Self, class Visit>
  static void figures(Self& self, Visit&& visit) {
    for (auto& count : self.of) visit(count);
    visit(self.words);
    visit(self.pc_loads);
    visit(self.taken);
    visit(self.chained_loads);
    visit(self.overlapped_mve);
  }
};
inline constexpr std::size_t kInstructionFigures = kInstructionClasses + 5;

/// Adds the instructions of a basic block one by one, in their order.
class BlockCounter {
 public:
  explicit BlockCounter(InstructionCounts& counts) : counts_(counts) {}
  DecodedInstruction add(std::uint16_t first, std::uint16_t second);
  void break_chain() { previous_ = InstructionClass::system; }  ///< the next instruction has no neighbour

 private:
  InstructionCounts& counts_;
  InstructionClass previous_ = InstructionClass::system;
};

}  // namespace micromind
