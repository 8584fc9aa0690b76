#include "micromind/deploy/cycle_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

namespace micromind {
namespace {

using Class = InstructionClass;
using Costs = std::initializer_list<std::pair<Class, double>>;

void set(CycleTable& table, const Costs& costs) {
  for (const auto& [c, cycles] : costs) table.cycles[static_cast<std::size_t>(c)] = cycles;
}

// What holds for most cores: one cycle, and a load or store of several words takes one and one a word.
CycleTable plain_table(Core core) {
  CycleTable table;
  table.core = core;
  table.cycles.fill(1);
  return table;
}

CycleTable cortex_m0(bool plus) {
  CycleTable t = plain_table(plus ? Core::kCortexM0Plus : Core::kCortexM0);
  set(t, {{Class::load, 2}, {Class::store, 2}, {Class::branch, plus ? 2 : 3}, {Class::system, 3}});
  t.taken = plus ? 1 : 2;
  t.pc_load = plus ? 2 : 3;
  t.source = plus ? "Arm Cortex-M0+ Technical Reference Manual (DDI 0484), instruction set summary"
                  : "Arm Cortex-M0 Technical Reference Manual (DDI 0432), instruction set summary";
  t.assumptions = "the fast multiplier (one cycle, not 32)";
  return t;
}

CycleTable cortex_m3() {
  CycleTable t = plain_table(Core::kCortexM3);
  set(t, {{Class::multiply_accumulate, 2},
          {Class::multiply_long, 4},
          {Class::divide, 7},
          {Class::load, 2},
          {Class::branch, 3}});
  t.taken = 2;
  t.pc_load = 2;
  t.chained_load = 1;
  t.source =
      "Arm Cortex-M3 Technical Reference Manual (DDI 0337), instruction set summary and load/store timings";
  t.assumptions =
      "pipeline refill P = 2 of 1 to 3, division 7 of 2 to 12, long products 4 of 3 to 5, stores with "
      "immediate offset";
  return t;
}

CycleTable cortex_m4() {
  CycleTable t = plain_table(Core::kCortexM4);
  set(t, {{Class::divide, 7},
          {Class::load, 2},
          {Class::branch, 3},
          {Class::float_multiply_accumulate, 3},
          {Class::float_divide, 14}});
  t.taken = 2;
  t.pc_load = 2;
  t.chained_load = 1;
  t.source = "Arm Cortex-M4 Technical Reference Manual (100166), tables 3-1 and 7-1, load/store timings";
  t.assumptions =
      "pipeline refill P = 2 of 1 to 3, division 7 of 2 to 12, stores with immediate offset, no wait for a "
      "result";
  return t;
}

CycleTable cortex_m33() {
  CycleTable t = plain_table(Core::kCortexM33);
  set(t, {{Class::divide, 7},
          {Class::branch, 2},
          {Class::load_multiple, 0},
          {Class::store_multiple, 0},
          {Class::float_load, 0},
          {Class::float_store, 0},
          {Class::float_multiply_accumulate, 3},
          {Class::float_divide, 14}});
  t.taken = 1;
  t.pc_load = 2;
  t.source =
      "measurements on an RP2350 (github.com/jnk0le/random, pipeline cycle test); Arm publishes no table";
  t.assumptions =
      "no dual issue of 16-bit pairs and no wait for a loaded value: the two are taken to cancel out; "
      "division 7";
  return t;
}

CycleTable cortex_m7() {
  CycleTable t = plain_table(Core::kCortexM7);
  t.cycles.fill(0.65);  // two instructions a cycle at best
  set(t, {{Class::multiply, 0.75},
          {Class::multiply_accumulate, 0.75},
          {Class::multiply_long, 0.75},
          {Class::dsp, 0.75},
          {Class::dsp_multiply, 0.75},
          {Class::divide, 6},
          {Class::store, 1},
          {Class::load_multiple, 0.5},
          {Class::store_multiple, 0.5},
          {Class::branch, 1},
          {Class::float_arithmetic, 1},
          {Class::float_multiply_accumulate, 1},
          {Class::float_divide, 16},
          {Class::float_load, 0.15},
          {Class::float_store, 0.5},
          {Class::system, 1}});
  t.word = 0.5;
  t.taken = 0.35;
  t.pc_load = 1;
  t.source =
      "measurements on STM32H7: www.quinapalus.com/cm7cycles.html and github.com/jnk0le/random (pipeline "
      "cycle test); Arm publishes no table";
  t.assumptions =
      "of the pairs that could issue together, a good half do; one product and one DSP operation a cycle at "
      "most, stores alone, "
      "branches foretold, division 6";
  return t;
}

CycleTable cortex_m55() {
  CycleTable t = plain_table(Core::kCortexM55);
  set(t, {{Class::divide, 6},
          {Class::branch, 2},
          {Class::loop_end, 0},
          {Class::float_multiply_accumulate, 2},
          {Class::float_divide, 14},
          {Class::float_load, 0.5},
          {Class::float_store, 0.5},
          {Class::mve_load, 2},
          {Class::mve_store, 2},
          {Class::mve_multiply, 2},
          {Class::mve_arithmetic, 2}});
  t.word = 0.5;
  t.taken = 1;
  t.pc_load = 2;
  t.overlapped_mve = 1;
  t.source =
      "Arm's description of Helium on the Cortex-M55 (128-bit instructions on 64-bit paths, instructions of "
      "different units overlap) and "
      "published schedules of github.com/slothy-optimizer/slothy for it; Arm publishes no table of single "
      "instructions";
  t.assumptions =
      "two cycles a vector instruction, one where it overlaps; LE free; 64 bits a cycle for several words; "
      "no wait for a result";
  return t;
}

const std::vector<CycleTable>& tables() {
  static const std::vector<CycleTable> all = {cortex_m0(false), cortex_m0(true), cortex_m3(), cortex_m4(),
                                              cortex_m33(),     cortex_m7(),     cortex_m55()};
  return all;
}

}  // namespace

const CycleTable* cycle_table(Core core) {
  const auto found =
      std::find_if(tables().begin(), tables().end(), [&](const CycleTable& t) { return t.core == core; });
  return found == tables().end() ? nullptr : &*found;
}

double estimate_cycles(const InstructionCounts& counts, const CycleTable& table) {
  double cycles = 0;
  for (std::size_t c = 0; c < kInstructionClasses; ++c)
    cycles += static_cast<double>(counts.of[c]) * table.cycles[c];
  // Of the taken branches those that end low-overhead loops are nearly all of these.
  const std::uint64_t loops = std::min(counts.taken, counts[Class::loop_end]);
  cycles += static_cast<double>(counts.words) * table.word +
            static_cast<double>(counts.taken - loops) * table.taken +
            static_cast<double>(counts.pc_loads) * table.pc_load -
            static_cast<double>(counts.chained_loads) * table.chained_load -
            static_cast<double>(counts.overlapped_mve) * table.overlapped_mve;
  return std::max(0.0, cycles);
}

std::string cycle_tables_text() {
  std::string text = "| class |", line = "|---|";
  for (const CycleTable& t : tables()) {
    text += fmt::format(" {} |", core_name(t.core));
    line += "---|";
  }
  text += "\n" + line + "\n";
  const auto row = [&](std::string_view name, auto&& value) {
    text += fmt::format("| {} |", name);
    for (const CycleTable& t : tables()) text += fmt::format(" {:g} |", value(t));
    text += "\n";
  };
  for (std::size_t c = 0; c < kInstructionClasses; ++c)
    row(instruction_class_name(static_cast<Class>(c)), [&](const CycleTable& t) { return t.cycles[c]; });
  row("+ each word of several", [](const CycleTable& t) { return t.word; });
  row("+ branch_conditional taken", [](const CycleTable& t) { return t.taken; });
  row("+ load of pc", [](const CycleTable& t) { return t.pc_load; });
  row("− load behind a load", [](const CycleTable& t) { return t.chained_load; });
  row("− MVE behind another unit's", [](const CycleTable& t) { return t.overlapped_mve; });
  return text;
}

}  // namespace micromind
