// What the parts of the emitter share: the model with its plan, its kernel calls and the C names of
// everything. Private to the emitter.
#pragma once

#include <string>
#include <vector>

#include "micromind/deploy/emit.h"
#include "micromind/deploy/emit_entries.h"
#include "micromind/deploy/emit_names.h"
#include "micromind/deploy/emit_variants.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/calls.h"

namespace micromind {

struct Program {
  const Model& model;
  const EmitOptions& options;
  MemoryPlan plan;
  std::vector<KernelCall> calls;             ///< one a node
  std::vector<std::string> nodes, values;    ///< identifiers
  std::vector<std::string> inputs, outputs;  ///< identifiers of the ports, lower case
  std::string prefix, upper;                 ///< "model", "MODEL"
  std::vector<std::string> kernels;          ///< files of runtime/kernels that are called, sorted
  std::vector<EntryProgram> entries;         ///< further entry points
  std::int64_t constant_bytes = 0;           ///< of all constants in the source
  std::int64_t macs = 0;
  std::vector<std::size_t> holder;  ///< per node: the first node with the same weights and tables (strips have), or itself
  std::vector<PackedForms> packed;  ///< one a node

  /// The node whose table the kernel of node `i` for cores with the DSP extension applies as it stores its outputs, or -1. Its input
  /// and output share memory, nothing else reads its input, and node `i` has no limits of its own.
  int table_of(std::size_t i) const;

  const Graph& graph() const { return model.graph; }
  const Placement& place(int value) const { return plan.placements[static_cast<std::size_t>(value)]; }
  /// "arena", "arena_1", …: of each RAM bank in use; the last part of "MODEL_ARENA_BYTES", "MODEL_ARENA_1_BYTES", ….
  std::string arena(int bank) const { return bank == 0 ? "arena" : "arena_" + std::to_string(bank); }
  std::string arena_macro(int bank) const { return upper + "_" + upper_case(arena(bank)); }
  int banks() const { return static_cast<int>(plan.bank_bytes.size()); }
  std::string run_parameters() const {
    std::string text;
    for (int k = 0; k < banks(); ++k) text += (k == 0 ? "" : ", ") + ("uint8_t* " + arena(k) + ", size_t " + arena(k) + "_bytes");
    return text;
  }
  std::int64_t bytes(int value) const { return graph().shape(value).elements(); }
  const std::string& id(int value) const { return values[static_cast<std::size_t>(value)]; }
};

/// Checks what can be emitted, see emit_c.
Program make_program(const Model& model, const EmitOptions& options);

std::string emit_header(const Program& program);
std::string emit_source(const Program& program);

/// Weights, tables and parameters of one node as C definitions, empty for a node without a call.
std::string emit_constants(const Program& program, std::size_t node);
std::int64_t constant_bytes(const Program& program, std::size_t node);

/// "conv 3x3, stride 2": the operator and what sets it apart, ASCII.
std::string describe(const Graph& graph, const Node& node);
std::string ascii_shape(const Shape& shape);  ///< "3x32x32"
std::string c_float(float value);             ///< "0.0078125f": shortest text that gives the same float

/// Makefile, CMakeLists.txt, README.md, test/…
std::vector<EmittedFile> emit_project(const Program& program);
/// serial/…: validation over a serial line
std::vector<EmittedFile> emit_serial(const Program& program);

/// `values` as a C initialiser's lines, `per_line` numbers each.
template <class T>
std::string number_lines(const T* values, std::size_t count, std::size_t per_line);

/// Replaces every `model`, `MODEL` that begins a name or file name in a template by the program's prefix.
std::string with_prefix(std::string text, const Program& program);
std::string with_prefix(std::string text, const std::string& prefix);

}  // namespace micromind
