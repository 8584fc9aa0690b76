// A run's trained network in the formats of others, without libtorch: a run that was trained elsewhere can be exported
// by a build without training.
//
//   RunFolder run = RunFolder::open("runs/demo");
//   export_onnx(run);                                    // runs/demo/model.onnx
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "micromind/graph/model.h"
#include "micromind/run/run_folder.h"

namespace micromind {

/// network.json with the weights of checkpoints/best.pt. Throws Error when the run has not been trained.
Model trained_model(const RunFolder& run);

/// Writes model.onnx (float) and stores the result of the stage "export".
/// → {onnx, tflite}: paths; tflite where model.tflite is there. Throws Error when the run has not been trained.
nlohmann::json export_onnx(RunFolder& run);

}  // namespace micromind
