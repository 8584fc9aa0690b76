// The moving average of a network's weights, batch norm's statistics included (Polyak and Juditsky, 1992; in the
// exponential form of Tarvainen and Valpola, NIPS 2017):
//
//   average = d·average + (1 − d)·weights after each step,  d = min(decay, (1 + t)/(10 + t)) with t steps done before
//
// d grows with t (as in TensorFlow's ExponentialMovingAverage), so that the random start is soon forgotten.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "micromind/train/graph_module.h"

namespace micromind {

class WeightAverage {
 public:
  /// Starts from the module's weights. The module must outlive it.
  WeightAverage(GraphModule& module, double decay);
  /// `steps`: done before this one.
  void update(std::int64_t steps);

  /// While it lives the module has the average in place of its weights, and the other way round.
  class Use {
   public:
    explicit Use(WeightAverage* average) : average_(average) {
      if (average_ != nullptr) average_->swap();
    }
    ~Use() {
      if (average_ != nullptr) average_->swap_back();
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    WeightAverage* average_;
  };

  void swap() { module_.swap(tensors_); }
  void copy_to_module();  ///< the module's own weights are lost
  Weights state();
  void load_state(const Weights& state);

 private:
  void swap_back() noexcept;
  GraphModule& module_;
  double decay_;
  std::vector<at::Tensor> tensors_;
};

}  // namespace micromind
