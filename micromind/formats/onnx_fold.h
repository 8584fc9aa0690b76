// Operators of an .onnx file whose inputs all are known: the shape arithmetic that exporters leave (x.view(x.size(0), -1),
// chunk, pad), and the weights behind QuantizeLinear and DequantizeLinear.
#pragma once

#include <memory>
#include <vector>

#include "micromind/formats/onnx_file.h"

namespace micromind::onnx_file {

using ConstantPtr = std::shared_ptr<const Constant>;

/// Whether fold() knows the operator.
bool can_fold(const FileNode& node);

/// The node's first output; `inputs` has nullptr for absent ones. Throws Error (without the node's name) on operands that do
/// not fit and on results of more than 2^24 elements.
ConstantPtr fold(const FileNode& node, std::int64_t opset, const std::vector<ConstantPtr>& inputs);

/// The attribute of that name, or nullptr.
const FileAttribute* find_attribute(const FileNode& node, std::string_view name);
/// Its value, or the default where it is absent. Throws Error when it has another type.
std::int64_t integer_attribute(const FileNode& node, std::string_view name, std::int64_t otherwise);
float number_attribute(const FileNode& node, std::string_view name, float otherwise);
std::string text_attribute(const FileNode& node, std::string_view name, std::string_view otherwise);
Dims integers_attribute(const FileNode& node, std::string_view name, const Dims& otherwise);

/// −1 → rank − 1. Throws Error when it is outside.
std::size_t resolve_axis(std::int64_t axis, std::size_t rank);

/// Target of a reshape: 0 copies an extent, −1 is what is left. Throws Error when it does not fit.
Dims resolve_reshape(const Dims& from, const std::vector<double>& target, bool zero_is_zero);

/// A double of a constant as an integer; huge ones are clamped to ±2^53.
std::int64_t to_integer(double value);

}  // namespace micromind::onnx_file
