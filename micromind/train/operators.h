// Each operator of a graph in libtorch, differentiable: the plain form, on any device.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "micromind/graph/op.h"

namespace micromind {

class Ranks;

using TensorList = std::vector<at::Tensor>;

/// What an operator may need beside its inputs. (seed, step, node) key dropout's masks.
struct OpContext {
  bool training = false;
  std::uint64_t seed = 0, step = 0, node = 0;
  /// Row n of this process is row first_sample + n · sample_step of the batch of all processes.
  std::uint64_t first_sample = 0, sample_step = 1;
  Ranks* ranks = nullptr;  ///< batch norm's statistics span these processes
};

/// The outputs of `op`. Tensors have the batch in front: images [N, C, H, W], vectors [N, C]. `parameters` are in the
/// order of parameters(op, …); batch norm's running statistics are updated in place while training.
TensorList apply(const Op& op, const TensorList& inputs, const TensorList& parameters, const OpContext& context);

at::Tensor apply(Function function, const at::Tensor& x);

/// 1/(1 − p) where kept and 0 where dropped, float [N, …]; sample n draws from its own stream, so that a mask
/// depends on neither the batch size nor the number of threads.
at::Tensor dropout_mask(at::IntArrayRef shape, float p, const OpContext& context);

}  // namespace micromind
