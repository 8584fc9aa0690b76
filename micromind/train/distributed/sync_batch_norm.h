// Batch norm whose statistics span the batches of all ranks, so that small batches a process norm like one large one.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/op.h"

namespace micromind {

class Ranks;

/// x: float [N, C, …], N of this rank. Statistics and their gradients are summed over the ranks in double (Ioffe and Szegedy, ICML 2015,
/// algorithm 1, over the union of the batches). Updates the running statistics as libtorch's batch norm does. Every rank must call
/// it, and backward, in the same order. Throws RankLost; Error where a channel has one value in all.
at::Tensor sync_batch_norm(Ranks& ranks, const BatchNorm& options, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& running_mean, const at::Tensor& running_var);

}  // namespace micromind
