// What quantisation-aware training does with tensors: int8 bytes in memory order (H, W, C), their real numbers, and the
// straight-through step between a float result and its int8 value.
#pragma once

#include <ATen/core/Tensor.h>

#include "micromind/graph/graph.h"
#include "micromind/train/operators.h"

namespace micromind {

/// Real numbers [N, C, H, W] or [N, C] → int8 bytes [N, elements] in memory order; the same rounding as quantize_image().
at::Tensor quantize_batch(const at::Tensor& real, const Quantization& q);

/// The float result of an operator, differentiable: our fused convolutions where they apply, libtorch's else. Values are
/// those of the float operator on `inputs` with these parameters.
at::Tensor float_result(const Op& op, const TensorList& inputs, const TensorList& parameters);

/// The real numbers of int8 weights in PyTorch's layout; backward, the gradient goes to `real` unchanged.
at::Tensor straight_through(const at::Tensor& real, const at::Tensor& dequantized);

/// The real numbers of `bytes` [N, elements], as a result in place of `real` [N, C, H, W] or [N, C]. Backward, `real` gets
/// the gradient where it lies within what int8 covers, and `log_range` [2] (or undefined) as qat.h says.
at::Tensor straight_through(const at::Tensor& real, const at::Tensor& bytes, const Quantization& q, const at::Tensor& log_range);

/// Dequantised weights of a node, in PyTorch's layout.
at::Tensor dequantized_weight(const Array& weight, const Op& op, const Shape& input, const Shape& flattened);

}  // namespace micromind
