// SGD, Adam, AdamW, LAMB and RMSprop, each step one walk over the memory of all parameters together, with a state that
// a checkpoint holds by name. f·g stands for the gradient times a factor, clipped; λ for weight decay, η for the rate.
//
//   SGD      g += λp;  b = μb + g (b = g at first);  p −= η · (nesterov ? g + μb : b)    (Sutskever et al., ICML 2013)
//   Adam     g += λp;  m = β₁m + (1−β₁)g;  v = β₂v + (1−β₂)g²;
//            p −= η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)                                    (Kingma and Ba, ICLR 2015)
//   AdamW    p −= ηλp first, then Adam with λ = 0                                        (Loshchilov and Hutter, ICLR 2019)
//   LAMB     m and v as Adam's with λ = 0;  u = m/(1−β₁ᵗ) / (√v/√(1−β₂ᵗ) + ε) + λp;
//            p −= η · ‖p‖/‖u‖ · u, norms of each parameter                             (You et al., ICLR 2020, algorithm 2)
//   RMSprop  g += λp;  v = αv + (1−α)g²;  b = μb + g/(√v + ε);  p −= ηb                  (Tieleman and Hinton, 2012)
//
// SGD, Adam, AdamW and RMSprop are torch.optim's to the letter. LAMB's ratio ‖p‖/‖u‖ is 1 where either is 0, and for
// biases and batch norms (tensors of one dimension), as in the authors' code: they start at 0, and a step in proportion
// to their own size would keep them there.
//
// The work is cut into parts by the parameters' sizes alone, and sums are added part by part in order: the same bytes
// on any number of threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "micromind/graph/weights.h"
#include "micromind/run/recipe.h"

namespace micromind {

class Optimizer {
 public:
  struct Parameter {
    std::string name;
    at::Tensor value;    ///< changed in place by step()
    double rate = 1;     ///< the learning rate is multiplied by it
    bool decays = true;  ///< train.weight_decay applies
  };

  /// Throws Error on an unknown optimiser or an option out of range. `fused`: our own loops (float parameters on the
  /// CPU); false, and on other devices: libtorch's operators, with the same arithmetic.
  Optimizer(const TrainSection& train, std::vector<Parameter> parameters, bool fused = true);

  void zero_grad();  ///< lets the gradients go
  /// √Σg² over all gradients, in double; not finite as soon as one gradient is not.
  double gradient_norm();
  /// What gradients of this norm are multiplied by so that it is train.clip_norm at most: 1, or clip_norm/(norm + 1e-6)
  /// (Pascanu et al., ICML 2013; torch's clip_grad_norm_).
  double clip_factor(double norm) const;
  /// Gradients are multiplied by `factor`, then cut to ±train.clip_value.
  void step(double learning_rate, double factor = 1);

  /// "NAME/momentum", "NAME/mean", "NAME/square", as the optimiser has them: with steps(), what an exact resume needs.
  Weights state() const;
  std::int64_t steps() const { return steps_; }
  /// Throws Error when something is missing, of another shape or unknown; then nothing was changed.
  void load_state(const Weights& state, std::int64_t steps);

 private:
  enum class Kind { sgd, adam, adamw, lamb, rmsprop };
  struct Slot : Parameter {
    at::Tensor gradient;      ///< in the memory order of value
    at::Tensor mean, square;  ///< mean: also the momentum; undefined where the optimiser has none
  };
  struct Piece {  ///< a stretch of one parameter
    std::size_t slot;
    std::int64_t first, count;
  };
  struct Numbers;  ///< what a step is to one parameter

  Numbers numbers(const Slot& slot, double learning_rate) const;
  std::map<std::string, at::Tensor> state_tensors() const;
  void gather_gradients();
  void cut();
  void for_pieces(const std::function<void(std::size_t)>& work) const;
  std::vector<double> piece_norms(const std::vector<double>& squares) const;
  void step_fused(double learning_rate, double factor);
  void step_plain(Slot& slot, double learning_rate, double factor);

  Kind kind_;
  TrainSection options_;
  bool fused_;
  std::vector<Slot> slots_;
  std::vector<Piece> pieces_;
  std::vector<std::size_t> parts_;  ///< the pieces of part i: from parts_[i] to parts_[i + 1]
  std::int64_t steps_ = 0;
};

}  // namespace micromind
