// A run's trained network in the formats of others, without libtorch: a run that was trained elsewhere can be exported
// by a build without training.
//
//   RunFolder run = RunFolder::open("runs/demo");
//   export_onnx(run);                                    // runs/demo/model.onnx
//   export_weights(run, "demo.safetensors", ParameterNames::reference);
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <string>

#include "micromind/graph/model.h"
#include "micromind/run/run_folder.h"

namespace micromind {

/// network.json with the weights of checkpoints/best.pt. Throws Error when the run has not been trained.
Model trained_model(const RunFolder& run);

/// Writes model.onnx (float) and stores the result of the stage "export".
/// → {onnx, tflite}: paths; tflite where model.tflite is there. Throws Error when the run has not been trained.
nlohmann::json export_onnx(RunFolder& run);

/// The keys of a file of weights: our parameter names, or those of the family's Python original (networks/registry.h).
enum class ParameterNames { ours, reference };

/// Writes the run's best weights, flat, by the file's ending: .pt (PyTorch) or .safetensors. Throws Error on another ending
/// and when the run has not been trained.
void export_weights(const RunFolder& run, const std::filesystem::path& file, ParameterNames names = ParameterNames::ours);

}  // namespace micromind
