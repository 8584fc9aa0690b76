// Starting weights for a network out of anybody's file: a run's, ours, the Python original's, a .safetensors.
//
//   const Pretrained p = load_initial_weights(graph, {.path = "backbone.pth", .except = {"classifier."},
//                                                     .other_names = {reference_names(graph, "phinet")}});
//   note(p.summary);                                          // what was taken from where, what stays random
//   Weights weights = initial_weights(graph, seed);
//   for (const auto& [name, array] : p.weights) weights[name] = array;
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "micromind/formats/py_value.h"
#include "micromind/graph/graph.h"

namespace micromind {

struct PretrainedOptions {
  std::filesystem::path path;       ///< a run folder, or a file that read_tensor_file() knows
  std::vector<std::string> except;  ///< parameters that are not taken: names or beginnings of names
  std::vector<std::map<std::string, std::string>> other_names;  ///< beside our own: our parameter name → key of the file
  std::string except_key = "train.initial_except";              ///< what sets `except`, for messages; empty: nothing does
};

struct Pretrained {
  Weights weights;                  ///< the parameters found, as float32
  std::vector<std::string> random;  ///< those that `except` leaves out
  std::filesystem::path file;
  std::string prefix;               ///< what stood in front of the names: "state_dict.module."
  bool own_names = true;            ///< false: one of `other_names`
  std::string summary;              ///< one line of all this
};

/// Every parameter of the graph but the excepted ones from the file: by our names or one of the others, below whatever
/// dicts and prefixes fit most of the parameters and their shapes (on a tie: averaged weights, then our names).
/// "num_batches_tracked" and tensors of other dicts are ignored.
/// Throws Error that lists what is missing, of another shape or type, not finite or not of this network, and says which
/// exceptions would mend it; and as read_tensor_file() does.
Pretrained load_initial_weights(const Graph& graph, const PretrainedOptions& options);

/// The same from a tree that was read already; `where` names it.
Pretrained initial_weights_from(const Graph& graph, const PyValue& tree, const std::string& where, const PretrainedOptions& options);

}  // namespace micromind
