// ONNX files, written and checked (opset 14).
//
// A float Model becomes float operators in evaluation mode, with PyTorch's parameter names as initializers. An int8
// Model becomes the QDQ form: int8 inputs and outputs, QuantizeLinear and DequantizeLinear around float operators, int8
// weights in OIHW and int32 biases behind DequantizeLinear; a runtime that requantises in float agrees with ours to one
// step. Layout is (N, C, H, W) with a symbolic batch "N". Dropout and float requantize vanish; silu becomes Sigmoid and
// Mul, relu6 Clip; uneven adaptive pooling becomes Slice, ReduceMean and Concat. The format has no place for entry
// points, states and mutable parameters.
#pragma once

#include <filesystem>

#include "micromind/base/file.h"
#include "micromind/graph/model.h"

namespace micromind {

/// The file's bytes; equal models give equal bytes. They have passed ONNX's own checker and strict shape inference.
/// Throws Error when a parameter is missing or has the wrong shape, or when the check fails.
Bytes to_onnx(const Model& model);
void write_onnx(const Model& model, const std::filesystem::path& path);

}  // namespace micromind
