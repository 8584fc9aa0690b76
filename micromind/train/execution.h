// Another way to execute a module's graph than operator by operator in libtorch: by the int8 kernels (train/qat.h).
//
//   module.set_execution(std::make_shared<MyExecution>(…));
//
// It may bring parameters of its own: the optimiser, checkpoints and load() treat them as the graph's.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <span>
#include <string>
#include <vector>

#include "micromind/train/operators.h"

namespace micromind {

class Execution {
 public:
  virtual ~Execution() = default;

  struct Parameter {
    std::string name;  ///< no name of the graph's
    at::Tensor tensor;
    bool trainable;
  };
  /// The same tensors at every call.
  virtual const std::vector<Parameter>& parameters() const = 0;

  /// The wanted values from the given ones, by index in the graph; `node_parameters`: those of each node, in the order of
  /// parameters(op, …). Differentiable while `training`.
  virtual std::map<int, at::Tensor> forward(const std::map<int, at::Tensor>& given, std::span<const int> wanted,
                                            const std::vector<TensorList>& node_parameters, bool training) = 0;

  /// Weights may have changed since the last forward pass: called when they are loaded and when training or evaluation
  /// begins.
  virtual void weights_changed() {}
};

}  // namespace micromind
