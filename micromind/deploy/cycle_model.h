// How many cycles instructions may take on a core: an ESTIMATE from a table of cycles per instruction class,
// in memory without wait states and with caches that always hit. It is no measurement and is never called
// one.
//
//   const double cycles = estimate_cycles(counts, *cycle_table(Core::kCortexM4));
//
// cycles = Σ count(class) · cycles(class) + words · word + taken · taken + pc_loads · pc_load
//          − chained_loads · chained_load − overlapped_mve · overlapped_mve
//
// For Cortex-M0, M0+, M3 and M4 the table is Arm's own (Technical Reference Manuals). Arm publishes none for
// M33, M7 and M55: there it rests on third parties' measurements, named in `source`, and on assumptions,
// named in `assumptions`.
#pragma once

#include <string>

#include "micromind/deploy/instruction_classes.h"
#include "micromind/targets/target.h"

namespace micromind {

struct CycleTable {
  Core core = Core::kHost;
  std::array<double, kInstructionClasses>
      cycles{};               ///< one instruction of each class; an untaken conditional branch
  double word = 1;            ///< each word of a load_multiple, store_multiple, float_load, float_store
  double taken = 0;           ///< more for a conditional branch that is taken
  double pc_load = 0;         ///< more for a load that is a branch
  double chained_load = 0;    ///< less for a load directly behind a load
  double overlapped_mve = 0;  ///< less for an MVE instruction behind one of another unit
  std::string source, assumptions;

  double operator[](InstructionClass c) const { return cycles[static_cast<std::size_t>(c)]; }
};

/// The table of a core, or null for the host.
const CycleTable* cycle_table(Core core);

/// At least 0. Taken low-overhead loops cost what the table says of loop_end and no more.
double estimate_cycles(const InstructionCounts& counts, const CycleTable& table);

/// All tables side by side, as text in Markdown: rows are classes, columns are cores.
std::string cycle_tables_text();

}  // namespace micromind
