// A network run in plain float arithmetic: naive, readable, without libtorch. It is the oracle for everything faster,
// and what calibration observes where training is not built.
//
//   const std::map<std::string, Array> out = run_reference(graph, weights, {{"image", image}});
//
// Evaluation mode: dropout is the identity, batch norm uses its running statistics.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

using Arrays = std::map<std::string, Array>;

/// Called for every input and then for every value as it is made: the index of the value, and its numbers (C, H, W).
using ReferenceObserver = std::function<void(int value, std::span<const float> numbers)>;

/// Keeps pointers to `graph` and `weights`, which must outlive it.
class ReferenceExecutor {
 public:
  /// Throws Error when a parameter is missing, is not float or has another shape than the graph's.
  ReferenceExecutor(const Graph& graph, const Weights& weights);

  /// `inputs`: one float array per input of the graph, by name, in its shape. Returns the outputs by name.
  /// Throws Error on missing, unknown or misshapen inputs.
  Arrays run(const Arrays& inputs, const ReferenceObserver& observer = {}) const;

 private:
  struct Step {
    std::vector<std::span<const float>> parameters;  // in the order of the operator's ParameterSpecs
    std::vector<int> release;                        // values that nothing reads afterwards
  };
  const Graph* graph_;
  std::vector<Step> steps_;
};

Arrays run_reference(const Graph& graph, const Weights& weights, const Arrays& inputs, const ReferenceObserver& observer = {});

}  // namespace micromind
