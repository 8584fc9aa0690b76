// SGD, Adam and AdamW with the arithmetic of torch.optim, each in one pass over memory a parameter, and with a state
// that a checkpoint can hold by name.
//
//   SGD    g += λp;  b = μb + g (b = g at first);  p −= η · (nesterov ? g + μb : b)      (Sutskever et al., ICML 2013)
//   Adam   g += λp;  m = β₁m + (1−β₁)g;  v = β₂v + (1−β₂)g²;
//          p −= η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)                                      (Kingma and Ba, ICLR 2015)
//   AdamW  p −= ηλp first, then Adam with λ = 0                                          (Loshchilov and Hutter, ICLR 2019)
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "micromind/graph/weights.h"
#include "micromind/run/recipe.h"

namespace micromind {

class Optimizer {
 public:
  using Parameters = std::vector<std::pair<std::string, at::Tensor>>;

  /// Throws Error on an unknown optimiser or an option out of range. The parameters are changed in place by step().
  Optimizer(const TrainSection& train, Parameters parameters);

  void zero_grad();  ///< lets the gradients go
  /// √Σg² over all gradients, in double; not finite as soon as one gradient is not.
  double gradient_norm();
  void step(double learning_rate);

  /// "NAME/momentum", or "NAME/mean" and "NAME/square": with steps(), what an exact resume needs.
  Weights state() const;
  std::int64_t steps() const { return steps_; }
  /// Throws Error when something is missing or of another shape; then nothing was changed.
  void load_state(const Weights& state, std::int64_t steps);

 private:
  enum class Kind { sgd, adam, adamw };
  struct Slot {
    std::string name;
    at::Tensor value, gradient;  ///< gradient: in the memory order of value
    at::Tensor first, second;    ///< momentum; or mean and square
  };
  std::map<std::string, at::Tensor> state_tensors() const;
  void gather_gradients();
  void step_sgd(Slot& slot, double learning_rate);
  void step_adam(Slot& slot, double learning_rate);

  Kind kind_;
  TrainSection options_;
  std::vector<Slot> slots_;
  std::int64_t steps_ = 0;
};

}  // namespace micromind
