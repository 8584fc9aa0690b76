// Validation of an int8 model on a chip, emulated or real: bytes, error measures, accuracy, instructions, time and
// memory, in one result.
//
//   const Validation v = validate(model, load_target("stm32h743"), inputs, {.labels = labels});
//   v.proof.identical(), v.proof.chip_accuracy->top1, v.instructions, v.arena_used_bytes
//   write_atomic("validation.json", to_json(v).dump(1));
//
// docs/validation.md says what each figure is.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "micromind/deploy/proof.h"
#include "micromind/graph/model.h"
#include "micromind/targets/target.h"

namespace micromind {

class SerialChip;

struct ValidateOptions {
  std::vector<std::int64_t> labels;      ///< one an input, or none
  const FloatNetwork* real = nullptr;    ///< the network that the int8 model was made of
  std::int64_t layer_inputs = 4;         ///< inputs whose every layer is compared; the first of them
  std::function<void(const std::string&)> progress = {};  ///< one line a step
};

struct Validation {
  std::string model;
  std::string target, core;  ///< "stm32h743", "cortex-m7"; target "" when a board over a serial line was not named
  std::string device;        ///< what computed: "mps2-an500" (emulated), or the serial line
  bool emulated = true;
  std::string compiler;
  Proof proof;
  std::int64_t layer_inputs = 0;
  std::int64_t macs = 0;
  std::int64_t arena_bytes = 0;       ///< planned
  std::int64_t arena_used_bytes = 0;  ///< highest byte touched, plus one; 0: not measured
  std::int64_t stack_bytes = 0;       ///< of model_run(); 0: not measured
  std::int64_t instructions = 0, instructions_most = 0;  ///< of the first input, of any; 0: not counted
  std::optional<double> cycles_estimate, seconds_estimate;  ///< of the first input; a model, see time_basis
  std::optional<double> seconds_measured;  ///< of the first input, by the board's own clock
  std::optional<std::int64_t> ticks;       ///< of the first input, of the board's counter, whatever its rate
  std::string time_basis;  ///< what the estimate rests on, and its error

  /// Bytes as the host's, and no byte touched outside of the arena.
  bool passed() const { return proof.identical() && arena_used_bytes <= arena_bytes; }
};

/// On the emulated core of `target`. Throws Error as deploy() does.
Validation validate(const Model& model, const Target& target, const std::vector<ByteTensor>& inputs, const ValidateOptions& options = {});

/// On a board that runs the emitted folder's serial program; `target` says which board it is, where that is known.
/// Layers are compared where it was compiled with MODEL_TRACE. Throws Error when the board's model is another one, and
/// as SerialChip does.
Validation validate(const Model& model, const Target* target, SerialChip& chip, const std::vector<ByteTensor>& inputs,
                    const ValidateOptions& options = {});

/// What the cycle estimate of a core rests on and how far it was from boards, in a sentence; "" for a core without one.
std::string cycle_estimate_basis(Core core);

nlohmann::json to_json(const Validation& validation);
std::string validation_table(const Validation& validation);  ///< layers, as text
std::string validation_text(const Validation& validation);   ///< everything but the layers, as text

}  // namespace micromind
