// PyTorch checkpoints (torch.save's zip format, PyTorch 1.6 and later), read strictly and written plainly.
//
//   const PyValue checkpoint = read_pytorch("model.pt");
//   const Weights weights = weights_from_state(graph, checkpoint.at("state"), reference_names("phinet", options));
//   write_pytorch("last.pt", tree);     // Python: torch.load("last.pt")
//
// The reader makes tensors and plain containers and runs nothing, so a checkpoint of unknown origin is data. Objects in it
// (argparse.Namespace) are read as the name of their class; state_dict.h finds the weights among all that.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "micromind/formats/py_value.h"
#include "micromind/graph/graph.h"

namespace micromind {

/// Throws Error that names the file: not a checkpoint, written before PyTorch 1.6 (with the command that converts it),
/// or damaged.
PyValue read_pytorch(const std::filesystem::path& path);
PyValue parse_pytorch(Bytes bytes, const std::string& where);

/// A checkpoint that Python's torch.load reads (also with weights_only). The same tree gives the same bytes. Throws
/// Error beyond 4 GB and where nesting exceeds 100.
Bytes pytorch_bytes(const PyValue& tree);
void write_pytorch(const std::filesystem::path& path, const PyValue& tree);  ///< atomically

struct StateOptions {
  std::map<std::string, std::string> names;  ///< our parameter name → key of the state dict; absent: the same
  bool allow_unexpected = false;             ///< ignore keys that the graph has no use for
};

/// The graph's parameters from a state dict. A "module." in front of every key (data-parallel training) and
/// "num_batches_tracked" are ignored. Throws Error on missing, misshapen and unexpected parameters.
Weights weights_from_state(const Graph& graph, const PyValue& state, const StateOptions& options = {});

/// A state dict of the weights, in the order of their names.
PyValue state_from_weights(const Weights& weights, const std::map<std::string, std::string>& names = {});

}  // namespace micromind
