// Batch norm, activation and dropout of whole channels in one operator: y = mask·f((x − mean)/√(var + eps)·w + b).
// Forward reads the image twice and writes once (statistics; the rest), backward reads it and the gradient twice and
// writes once; nothing in between is kept.
//
// The gradient, with z the argument of f, dz = dy·mask·f'(z), M pixels and x̂ = (x − mean)/√(var + eps)
// (Ioffe and Szegedy 2015, section 3):
//   db = Σdz, dw = Σdz·x̂, dx = w/√(var + eps)·(dz − db/M − x̂·dw/M)
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/ops/batch_norm.h"

namespace micromind::fused {

struct NormActOptions {
  BatchNorm norm;
  Function function = Function::none;
  bool training = false;  ///< statistics of the batch, and running ones moved
};

/// x [N, C, H, W] float on the CPU; weight, bias, running_mean, running_var [C]; mask [N, C] (any shape with as many
/// numbers) or undefined. While training N·H·W must be above 1.
at::Tensor norm_act(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& running_mean,
                    const at::Tensor& running_var, const at::Tensor& mask, const NormActOptions& options);

}  // namespace micromind::fused
