#include "micromind/deploy/instruction_classes.h"

#include <bit>
#include <initializer_list>

namespace micromind {
namespace {

using Class = InstructionClass;

constexpr std::uint16_t kPc = 1u << 15;

constexpr DecodedInstruction plain(Class c) {
  return {c, 0, false};
}

DecodedInstruction multiple(Class c, unsigned list) {
  return {c, static_cast<std::uint8_t>(std::popcount(list)), c == Class::load_multiple && (list & kPc) != 0};
}

// --- 16-bit ------------------------------------------------------------------------------------------------

DecodedInstruction decode_special_data(std::uint16_t i) {  // 0100 01xx
  const unsigned op = i >> 8 & 3;
  if (op == 3) return plain(Class::branch);  // BX, BLX
  const unsigned destination = (i >> 4 & 8) | (i & 7);
  return plain(op != 1 && destination == 15 ? Class::branch : Class::arithmetic);
}

DecodedInstruction decode_misc(std::uint16_t i) {                       // 1011 xxxx
  if ((i & 0xF500) == 0xB100) return plain(Class::branch_conditional);  // CBZ, CBNZ
  if ((i & 0xFE00) == 0xB400) return multiple(Class::store_multiple, i & 0x1FF);
  if ((i & 0xFE00) == 0xBC00)
    return multiple(Class::load_multiple, (i & 0xFFu) | ((i & 0x100) != 0 ? kPc : 0u));
  if ((i & 0xFF00) == 0xBF00) return plain((i & 0xF) != 0 ? Class::if_then : Class::arithmetic);  // hints
  if ((i & 0xFFE0) == 0xB660 || (i & 0xFF00) == 0xBE00) return plain(Class::system);              // CPS, BKPT
  return plain(Class::arithmetic);  // SP ± immediate, extensions, REV
}

DecodedInstruction decode16(std::uint16_t i) {
  switch (i >> 12) {
    case 0x0:
    case 0x1:
    case 0x2:
    case 0x3:
      return plain(Class::arithmetic);
    case 0x4:
      if ((i & 0xFC00) == 0x4000) return plain((i & 0x03C0) == 0x0340 ? Class::multiply : Class::arithmetic);
      if ((i & 0xFC00) == 0x4400) return decode_special_data(i);
      return plain(Class::load);  // literal
    case 0x5:
      return plain((i >> 9 & 7) < 3 ? Class::store : Class::load);
    case 0x6:
    case 0x7:
    case 0x8:
    case 0x9:
      return plain((i & 0x0800) != 0 ? Class::load : Class::store);
    case 0xA:
      return plain(Class::arithmetic);  // ADR, SP + immediate
    case 0xB:
      return decode_misc(i);
    case 0xC:
      return multiple((i & 0x0800) != 0 ? Class::load_multiple : Class::store_multiple, i & 0xFF);
    case 0xD:
      return plain((i & 0x0E00) == 0x0E00 ? Class::system : Class::branch_conditional);  // UDF, SVC
    default:
      return plain(Class::branch);
  }
}

// --- FP and MVE --------------------------------------------------------------------------------------------

DecodedInstruction decode_float_memory(std::uint16_t a, std::uint16_t b) {
  const bool is_load = (a & 0x0010) != 0;
  if ((a & 0x01A0) == 0)
    return plain((a & 0x0040) != 0 ? Class::float_move : Class::system);  // two registers
  if ((a & 0x01A0) == 0x0020) return plain(Class::system);                // VLLDM, VLSTM
  const Class c = is_load ? Class::float_load : Class::float_store;
  const bool single_register = (a & 0x0120) == 0x0100;
  if (single_register) return {c, static_cast<std::uint8_t>((b >> 8 & 0xF) == 0xB ? 2 : 1), false};
  if (is_load && (a & 0x000F) == 0xF) return plain(Class::system);  // VSCCLRM
  return {c, static_cast<std::uint8_t>(b & 0xFE ? b & 0xFF : 1), false};
}

DecodedInstruction decode_float_data(std::uint16_t a, std::uint16_t b) {
  const bool transfers = (a & 0x1000) == 0 && (b & 0x0010) != 0;  // 1110 1110 …1
  if (transfers) return plain(Class::float_move);
  if ((a & 0x1000) != 0) return plain(Class::float_arithmetic);  // VSEL, VMAXNM, VRINT
  switch (a & 0x00B0) {
    case 0x00:
    case 0x10:
    case 0x90:
    case 0xA0:  // VMLA/VMLS, VNMLA/VNMLS, VFNMA/VFNMS, VFMA/VFMS
      return plain(Class::float_multiply_accumulate);
    case 0x80:
      return plain(Class::float_divide);
    case 0xB0:
      if ((a & 0xF) == 1 && (b & 0xC0) == 0xC0) return plain(Class::float_divide);  // VSQRT
      return plain(Class::float_arithmetic);
    default:
      return plain(Class::float_arithmetic);
  }
}

DecodedInstruction decode_mve_memory(std::uint16_t a, std::uint16_t b) {
  if ((a & 0xFFA0) == 0xEC00) return plain(Class::float_move);  // two lanes and two registers
  const bool gathers = (a & 0xEFA0) == 0xEC80;
  if (!gathers && (b & 0x1F80) == 0x0F80) return plain(Class::system);  // VLDR, VSTR of system registers
  return plain((a & 0x0010) != 0 ? Class::mve_load : Class::mve_store);
}

bool mve_multiplies(std::uint16_t a, std::uint16_t b) {
  const unsigned cp = b >> 8 & 0xF;
  if ((a & 0xEF00) == 0xEF00) {  // vectors of the same kind
    if ((a & 0x0080) != 0) return false;
    const unsigned op = b & 0x0F10;
    return op == 0x0910 || op == 0x0B00 || op == 0x0C10 ||  // VMUL, VQDMULH/VQRDMULH, VFMA/VFMS
           ((a & 0x1000) != 0 && op == 0x0D10);             // VMUL of floats
  }
  const bool three = (a & 0x0030) == 0x0030;
  if ((a & 0x0080) != 0) {  // across a vector: VMLADAV, VMLALDAV, VRMLALDAVH; not VADDV, VADDLV, VABAV, VMAXV
    if ((b & 0x00D0) != 0) return false;
    return cp == 14 || ((a & 1) == 0 && (b & 1) == 0 && (a & 0xF0) != 0xE0);
  }
  if (cp == 14) {
    if ((b & 0x0080) != 0) return false;  // VMOVN, VMAXA, VMINA
    if ((b & 0x0060) == 0x0060)
      return (b & 0x1000) == 0 || ((a & 0x1000) == 0 && !three);  // else VSHL by a register, VBRSR
    if ((b & 0x0040) != 0) return true;                           // VMLA, VFMA by a register
    return !three || (b & 1) == 0 || (a & 0x1002) == 0x1000;      // VMULL, VMULH, VQDMLADH, VCMUL; not VQMOVN
  }
  return three && (a & 1) == 0 && ((b & 0x0070) == 0x0060 || ((b & 0x0050) == 0 && (b & 1) != 0));  // VQDMULL
}

DecodedInstruction decode_coprocessor(std::uint16_t a, std::uint16_t b) {
  const unsigned cp = b >> 8 & 0xF;
  const bool memory = (a & 0x0200) == 0;
  if ((a & 0xEF00) == 0xEF00)
    return plain(mve_multiplies(a, b) ? Class::mve_multiply : Class::mve_arithmetic);
  if (cp >= 14) {
    if (memory) return decode_mve_memory(a, b);
    return plain(mve_multiplies(a, b) ? Class::mve_multiply : Class::mve_arithmetic);
  }
  if ((a & 0xFE00) == 0xFC00 && cp == 8) return plain(Class::mve_multiply);  // VCMLA, VCADD of floats
  if (cp < 9 || cp > 11) return plain(Class::system);
  return memory ? decode_float_memory(a, b) : decode_float_data(a, b);
}

// --- 32-bit ------------------------------------------------------------------------------------------------

DecodedInstruction decode_dual_exclusive_table(std::uint16_t a, std::uint16_t b) {
  if ((a & 0xFFF0) == 0xE8D0 && (b & 0xFFE0) == 0xF000) return plain(Class::branch);  // TBB, TBH
  if (a == 0xE97F && b == 0xE97F) return plain(Class::system);                        // SG
  const bool is_load = (a & 0x0010) != 0;
  if ((a & 0x0120) == 0) {
    if ((a & 0xFFF0) == 0xE840 && (b & 0xF000) == 0xF000) return plain(Class::system);  // TT
    return plain(is_load ? Class::load : Class::store);  // exclusive, acquire, release
  }
  return {is_load ? Class::load_multiple : Class::store_multiple, 2, false};  // LDRD, STRD
}

DecodedInstruction decode_multiple32(std::uint16_t a, std::uint16_t b) {
  if (a == 0xE89F) return plain(Class::system);  // CLRM
  return multiple((a & 0x0010) != 0 ? Class::load_multiple : Class::store_multiple, b);
}

DecodedInstruction decode_branch_control(std::uint16_t a, std::uint16_t b) {
  if ((b & 0xD000) == 0xC000) {  // low-overhead loops, branch future, VCTP
    if (b == 0xE801) return plain(Class::mve_arithmetic);
    return plain((a & 0xF) == 0xF && (b & 0xF001) == 0xC001 ? Class::loop_end : Class::system);
  }
  if ((b & 0x5000) != 0) return plain(Class::branch);  // B, BL
  if ((a & 0x0380) != 0x0380) return plain(Class::branch_conditional);
  if ((a & 0xFFF0) == 0xF3A0 && (b & 0x0700) == 0) return plain(Class::arithmetic);  // hints: NOP.W
  return plain(Class::system);
}

DecodedInstruction decode_single_memory(std::uint16_t a, std::uint16_t b) {
  if ((a & 0x0010) == 0) return plain(Class::store);
  const bool to_pc = (b & 0xF000) == 0xF000;
  if (to_pc && (a & 0x0060) != 0x0040) return plain(Class::arithmetic);  // PLD, PLI
  return {Class::load, 0, to_pc};
}

DecodedInstruction decode_register_data(std::uint16_t a, std::uint16_t b) {  // 1111 1010
  if ((a & 0x0080) == 0) {
    if ((b & 0x0080) == 0) return plain(Class::arithmetic);  // shifts
    const unsigned op = a >> 4 & 7;
    const bool pairs = op == 2 || op == 3, adds = (a & 0xF) != 0xF;
    return plain(pairs || adds ? Class::dsp : Class::arithmetic);  // SXTB16, SXTAB; SXTB
  }
  if ((b & 0x0080) == 0) return plain(Class::dsp);  // SADD16 and its kin
  const unsigned op = a >> 4 & 3;
  return plain((op == 0 || op == 2) && (a & 0x0040) == 0 ? Class::dsp
                                                         : Class::arithmetic);  // QADD, SEL; REV, CLZ
}

DecodedInstruction decode_multiply(std::uint16_t a, std::uint16_t b) {  // 1111 1011 0
  const unsigned op = a >> 4 & 7;
  if (op == 0)
    return plain((b & 0xF000) == 0xF000 && (b & 0x0010) == 0 ? Class::multiply : Class::multiply_accumulate);
  return plain(op == 7 ? Class::dsp : Class::dsp_multiply);
}

DecodedInstruction decode_multiply_long(std::uint16_t a, std::uint16_t b) {  // 1111 1011 1
  const unsigned op = a >> 4 & 7;
  if (op == 1 || op == 3) return plain(Class::divide);
  if (op == 5 || (op == 4 && (b & 0x00F0) != 0))
    return plain(Class::dsp_multiply);  // SMLSLD, SMLALBB, SMLALD
  return plain(Class::multiply_long);
}

DecodedInstruction decode32(std::uint16_t a, std::uint16_t b) {
  if ((a & 0xEC00) == 0xEC00) return decode_coprocessor(a, b);
  if ((a & 0xFE40) == 0xE800) return decode_multiple32(a, b);
  if ((a & 0xFE40) == 0xE840) return decode_dual_exclusive_table(a, b);
  if ((a & 0xFE00) == 0xEA00) return plain(Class::arithmetic);  // shifted registers, CSEL, long shifts
  if ((a & 0xF800) == 0xF000)
    return (b & 0x8000) == 0 ? plain(Class::arithmetic) : decode_branch_control(a, b);
  if ((a & 0xFE00) == 0xF800) return decode_single_memory(a, b);
  if ((a & 0xFF00) == 0xFA00) return decode_register_data(a, b);
  return (a & 0x0080) == 0 ? decode_multiply(a, b) : decode_multiply_long(a, b);
}

// MVE's units, as far as they decide what overlaps; 0: no MVE instruction.
int mve_unit(Class c) {
  if (c == Class::mve_load || c == Class::mve_store) return 1;
  if (c == Class::mve_multiply) return 2;
  return c == Class::mve_arithmetic ? 3 : 0;
}

}  // namespace

DecodedInstruction decode_thumb(std::uint16_t first, std::uint16_t second) {
  return thumb_bytes(first) == 4 ? decode32(first, second) : decode16(first);
}

std::string_view instruction_class_name(InstructionClass c) {
  static constexpr std::array<std::string_view, kInstructionClasses> names = {"arithmetic",
                                                                              "multiply",
                                                                              "multiply_accumulate",
                                                                              "multiply_long",
                                                                              "divide",
                                                                              "dsp",
                                                                              "dsp_multiply",
                                                                              "load",
                                                                              "store",
                                                                              "load_multiple",
                                                                              "store_multiple",
                                                                              "branch",
                                                                              "branch_conditional",
                                                                              "loop_end",
                                                                              "if_then",
                                                                              "float_arithmetic",
                                                                              "float_multiply_accumulate",
                                                                              "float_divide",
                                                                              "float_move",
                                                                              "float_load",
                                                                              "float_store",
                                                                              "mve_load",
                                                                              "mve_store",
                                                                              "mve_multiply",
                                                                              "mve_arithmetic",
                                                                              "system"};
  return names[static_cast<std::size_t>(c)];
}

std::uint64_t InstructionCounts::total() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : of) sum += count;
  return sum;
}

std::uint64_t InstructionCounts::loads() const {
  return (*this)[Class::load] + (*this)[Class::load_multiple] + (*this)[Class::float_load] +
         (*this)[Class::mve_load];
}

std::uint64_t InstructionCounts::stores() const {
  return (*this)[Class::store] + (*this)[Class::store_multiple] + (*this)[Class::float_store] +
         (*this)[Class::mve_store];
}

InstructionCounts& InstructionCounts::operator+=(const InstructionCounts& other) {
  std::array<std::uint64_t, kInstructionFigures> list{};
  std::size_t i = 0;
  figures(other, [&](std::uint64_t value) { list[i++] = value; });
  i = 0;
  figures(*this, [&](std::uint64_t& value) { value += list[i++]; });
  return *this;
}

DecodedInstruction BlockCounter::add(std::uint16_t first, std::uint16_t second) {
  const DecodedInstruction d = decode_thumb(first, second);
  ++counts_[d.kind];
  counts_.words += d.words;
  if (d.writes_pc) ++counts_.pc_loads;
  if (d.kind == Class::load && previous_ == Class::load) ++counts_.chained_loads;
  const int unit = mve_unit(d.kind), before = mve_unit(previous_);
  if (unit != 0 && before != 0 && unit != before) ++counts_.overlapped_mve;
  previous_ = d.kind;
  return d;
}

}  // namespace micromind
