// The families by name: what recipes, the command line and `micromind networks` look up.
//
//   const Graph g = build_network("phinet", {{"input_shape", {3, 32, 32}}, {"alpha", 0.5}});
//
// To add a family: an option struct and a function that returns a Graph, and one line in registry.cpp.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct NetworkFamily {
  std::string name;
  std::string description;   ///< one line
  nlohmann::json defaults;   ///< every option with its default
};

const std::vector<NetworkFamily>& network_families();

/// The graph of a family. Throws Error on an unknown family or option (naming the nearest known one), on a value of
/// the wrong type or out of range, and on an input too small for the options.
Graph build_network(const std::string& family, const nlohmann::json& options = nlohmann::json::object());

/// From our parameter names to the keys of the state dict of the family's Python original, so that its checkpoints
/// load: "blocks.3.expand.conv.weight" → "_layers.5._layers.0.weight". Families without one map to our own names.
/// The original's `num_batches_tracked` have no counterpart. The second form takes a graph that the family built.
std::map<std::string, std::string> reference_names(const std::string& family, const nlohmann::json& options = nlohmann::json::object());
std::map<std::string, std::string> reference_names(const Graph& graph, const std::string& family);

}  // namespace micromind
