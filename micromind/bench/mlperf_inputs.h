// MLPerf Tiny's accuracy inputs for its int8 reference models, from the archives of the benchmark's runner
// (kws01, ic01, vww01 .tar.xz: raw bytes and y_labels.csv).
//
//   const MlperfInputs set = mlperf_inputs(data_folder() / "mlperf_tiny", "kws_ref_model");
//   const double share = int8_accuracy(model, set);
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "micromind/graph/model.h"

namespace micromind {

struct MlperfTask {
  std::string_view model;      ///< file name without .tflite
  std::string_view archive;    ///< "kws01"
  int classes = 0;
  double required = 0;         ///< the closed division's accuracy of the int8 model (Banbury et al., 2021, table 1)
};

/// Those that have accuracy inputs here: image classification, keyword spotting, visual wake words.
std::span<const MlperfTask> mlperf_tasks();

struct MlperfInputs {
  std::vector<std::vector<std::int8_t>> inputs;  ///< as the model takes them, (H, W, C)
  std::vector<int> labels;
  int classes = 0;
};

/// The inputs of the named model, in the order of y_labels.csv; pixels become int8 by subtracting 128. `limit` 0: all.
/// Unpacks with the programs tar and xz. Throws Error when they, the archive or files in it are missing or of another size
/// (`bytes`: the input's), and for a model that has none.
MlperfInputs mlperf_inputs(const std::filesystem::path& folder, std::string_view model, std::size_t bytes, std::size_t limit = 0);

/// Share of inputs whose largest output is the label, by the host's executor.
double int8_accuracy(const Model& model, const MlperfInputs& set);

}  // namespace micromind
