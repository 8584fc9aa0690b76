// Where the parameters of our nodes lie in the state dicts of the Python originals. Detectors that hold a PhiNet or
// XiConvs inside use these with a prefix of their own.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "micromind/graph/graph.h"

namespace micromind {

/// Node name → module path, for all nodes with parameters: "blocks.1.expand.conv" → "_layers.3._layers.0".
/// `prefix` is that of our nodes ("backbone."); other nodes are left out.
std::map<std::string, std::string> phinet_reference_nodes(const Graph& graph, std::string_view prefix);
std::map<std::string, std::string> xinet_reference_nodes(const Graph& graph, std::string_view prefix);
inline std::map<std::string, std::string> phinet_reference_nodes(const Graph& graph) { return phinet_reference_nodes(graph, ""); }
inline std::map<std::string, std::string> xinet_reference_nodes(const Graph& graph) { return xinet_reference_nodes(graph, ""); }

/// Inside one XiConv: "attention.reduce" → "att_pw_conv". "" for a node without parameters.
std::string_view xi_conv_reference(std::string_view node);

}  // namespace micromind
