// From a run's trained weights to its int8 model, as the recipe's [quantize] section says: batch norm folded, channels
// equalised, ranges calibrated, biases corrected or the network trained on as int8.
//
// With quantisation-aware training RUN/qat/ holds
//   start.pt        the folded float weights, the calibrated ranges and what they were made from: a stopped training goes on
//                   where they are still those of the run, and starts anew where they are not
//   ptq.tflite      the int8 model without it, for comparison
//   checkpoints/, log.jsonl, events.out.tfevents.*   the trainer's
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "micromind/graph/model.h"
#include "micromind/run/run_folder.h"
#include "micromind/tasks/pipeline.h"

namespace micromind {

struct QuantizedRun {
  Model model;
  nlohmann::json result;  ///< {samples, calibration[, equalized_pairs][, bias_correction_steps][, qat]}
};

/// Throws Error where the run has no trained weights and as the steps do, Interrupted when the user stops it.
QuantizedRun quantize_trained(const RunFolder& run, bool qat, const StageHooks& hooks);

inline std::filesystem::path qat_folder(const RunFolder& run) { return run.path() / "qat"; }
inline std::filesystem::path ptq_file(const RunFolder& run) { return qat_folder(run) / "ptq.tflite"; }

}  // namespace micromind
