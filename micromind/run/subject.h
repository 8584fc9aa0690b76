// What a verb is pointed at: a run folder, a model file or a family of networks, brought to one form.
//
//   const Subject s = load_subject("phinet", {.input = "3x160x160", .set = {"alpha=0.5"}});
//   const Cost cost = estimate_cost(s.network, s.lowered);
#pragma once

#include <string>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/lower/lower.h"
#include "micromind/run/recipe.h"

namespace micromind {

struct SubjectOptions {
  std::string input;             ///< "3x160x160" (C×H×W); families only. Empty: the family's default
  int classes = 0;               ///< families only; 0: the family's default
  std::vector<std::string> set;  ///< "alpha=3": options of the family
};

enum class SubjectKind { run, model, family };

struct Subject {
  SubjectKind kind = SubjectKind::family;
  std::string name;    ///< "phinet", "runs/demo", "model.tflite"
  Graph network;       ///< as trained; of an int8 file, the graph in it
  Lowered lowered;
  std::string target;  ///< of the run's recipe, else ""
};

/// By its ending: .tflite or .onnx.
bool is_model_file(const std::string& what);

/// A model file, .tflite or .onnx, float or int8. Throws Error that lists what cannot be read.
Model read_model(const std::string& path);

/// Throws Error when `what` is none of the three (naming the nearest family), and on options that do not apply to it.
Subject load_subject(const std::string& what, const SubjectOptions& options = {});

/// "3x32x32", "3×32×32" or "490" to a shape. Throws Error.
Shape parse_shape(const std::string& text);

/// The recipe's network as a classifier of these images: input_shape, num_classes and include_top where the family has
/// them and the recipe is silent. Throws Error when the recipe contradicts the data.
Graph recipe_network(const NetworkSection& network, const Shape& input, int classes);

}  // namespace micromind
