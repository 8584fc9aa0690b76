// Inputs and labels of a model from files, as MLPerf Tiny's accuracy sets come: raw bytes, and y_labels.csv.
//
//   const LabelledInputs data = read_inputs(model, {.data = "kws01", .labels = "kws01/y_labels.csv", .count = 100});
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "micromind/deploy/proof.h"
#include "micromind/graph/model.h"

namespace micromind {

struct InputFiles {
  std::filesystem::path data;    ///< a file of inputs one after another, or a folder of files with one each
  std::filesystem::path labels;  ///< lines "file,classes,label", or "label" alone for a file of inputs; may be empty
  bool is_unsigned = false;      ///< bytes are 0 to 255, as pixels: 128 is taken off
  std::int64_t count = 0;        ///< the first so many; 0: all
};

struct LabelledInputs {
  std::vector<ByteTensor> inputs;
  std::vector<std::int64_t> labels;  ///< empty without a file of labels
};

/// The files of a folder are taken in the order of the labels, or else of their names ("*.bin"). Throws Error with file
/// and line for what is missing, of another size than the model's inputs, or no label of the model's classes.
LabelledInputs read_inputs(const Model& model, const InputFiles& files);

/// Fixed random bytes, the same every time.
std::vector<ByteTensor> random_inputs_of(const Model& model, std::int64_t count);

}  // namespace micromind
