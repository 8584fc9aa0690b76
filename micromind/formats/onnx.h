// ONNX files: written and checked (opset 14), and read.
//
//   write_onnx(model, "model.onnx");
//   const Model model = read_onnx("anyones.onnx");
//
// A float Model becomes float operators in evaluation mode, with PyTorch's parameter names as initializers. An int8
// Model becomes the QDQ form: int8 inputs and outputs, QuantizeLinear and DequantizeLinear around float operators, int8
// weights in OIHW and int32 biases behind DequantizeLinear; a runtime that requantises in float agrees with ours to one
// step. Layout is (N, C, H, W) with a symbolic batch "N". Dropout and float requantize vanish; silu becomes Sigmoid and
// Mul, relu6 Clip; uneven adaptive pooling becomes Slice, ReduceMean and Concat. The format has no place for entry
// points, states and mutable parameters.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "micromind/base/file.h"
#include "micromind/graph/model.h"

namespace micromind {

/// The file's bytes; equal models give equal bytes. They have passed ONNX's own checker and strict shape inference.
/// Throws Error when a parameter is missing or has the wrong shape, or when the check fails.
Bytes to_onnx(const Model& model);
void write_onnx(const Model& model, const std::filesystem::path& path);

/// A float network as PyTorch exports it (operator sets 6 to 23) becomes the float form of Model; a QDQ network, whose every
/// operator stands between DequantizeLinear and QuantizeLinear, its int8 form. Float or uint8 inputs and outputs of a QDQ
/// network become int8: the numbers behind the first QuantizeLinear, before the last DequantizeLinear; uint8 minus 128.
/// docs/formats.md lists the operators and what becomes of them.
/// Throws Error on a damaged file, and one Error that lists everything that cannot be read, by node.
Model read_onnx(const std::filesystem::path& path);

/// The same from memory; `name` (a file name) stands in error messages. Tensors in other files are refused.
Model onnx_from_bytes(std::span<const std::uint8_t> bytes, std::string_view name);

}  // namespace micromind
