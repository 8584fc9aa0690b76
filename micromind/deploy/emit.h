// The C emitter: an int8 Model becomes a folder of plain C99 that compiles by itself, without a warning,
// without heap and without floating point.
//
//   write_c(model, "out");
//
//   out/model.h            shapes, scales, arena size, where inputs and outputs lie, model_run(), and
//                          model_run_<name>() for each further entry point
//   out/model.c            constants and one call a layer; asserts the arena's size at compile time
//   out/kernels/…          the runtime kernels that the model uses, and no others
//   out/CMakeLists.txt, out/Makefile, out/README.md
//   out/serial/…           validation on a board over a serial line: two functions to fill in
//   out/library.properties, out/examples/…; out/zephyr/…      when asked for (EmitOptions::projects)
//   out/test/…             self test: stored inputs, every output byte compared, the first layer that differs
//   named
//
// The same model gives the same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/memory/plan.h"

namespace micromind {

/// What deploy() measured; README.md and model.h state it.
struct EmittedFigures {
  std::string target, compiler;   ///< "stm32h743", first line of the compiler's --version
  std::int64_t flash_bytes = 0;   ///< linked image with start-up code
  std::int64_t code_bytes = 0;    ///< of these, code
  std::int64_t stack_bytes = 0;   ///< model_run(), measured; 0 = not measured
  std::int64_t instructions = 0;  ///< per inference; 0 = not measured
};

struct EmitOptions {
  /// Of every public C name and of the two files: model_run, MODEL_ARENA_BYTES, model.h. A C identifier.
  std::string prefix = "model";
  /// For the self test, each all of the graph's inputs (int8, HWC) one after another. Empty: one to three
  /// random ones.
  std::vector<std::vector<std::int8_t>> test_inputs;
  std::optional<EmittedFigures> figures;
  /// Where values lie, made for this very graph: over several RAM banks, model_run() takes an arena for each.
  /// Absent: plan_memory().
  std::optional<MemoryPlan> plan = {};
  /// Names of nodes whose weights are defined with MODEL_EXTERNAL_CONSTANT: section ".xflash" on Arm and RISC-V.
  std::vector<std::string> external_weights = {};
  /// Besides CMake and make, which are always there: "arduino" (the folder is an Arduino library), "zephyr" (and a Zephyr module).
  std::vector<std::string> projects;
  bool among_others = false;  ///< one of several models in a folder (emit_models.h), whose README.md says how to build them
};

/// Names of EmitOptions::projects.
const std::vector<std::string>& project_kinds();

struct EmittedFile {
  std::string name, content;  ///< name relative to the folder: "kernels/conv2d_s8.h"
};

/// Files by name, so that a caller may write, print or compare them. Throws Error for a model that is not
/// int8, that has no operator or output, for an entry point that cannot run on its own in the arena, and for
/// what cannot be emitted yet (states, mutable parameters).
std::vector<EmittedFile> emit_c(const Model& model, const EmitOptions& options = {});

/// Throws the Error that emit_c() would throw for the model itself; quick.
void check_emittable(const Model& model);

/// Writes them below `folder`, each atomically; kernels that an earlier model left there and this one does
/// without go.
void write_c(const Model& model, const std::filesystem::path& folder, const EmitOptions& options = {});
void write_files(const std::vector<EmittedFile>& files, const std::filesystem::path& folder);

}  // namespace micromind
