// A .tflite file as plain values: the one place that touches FlatBuffers. parse_file validates every byte that it
// reads, so the code behind it works on indices, sizes and numbers that are known to be sound.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "micromind/base/file.h"
#include "micromind/graph/ops/attributes.h"
#include "tflite_generated.h"

namespace micromind::tflite {

struct FileTensor {
  std::string name;
  std::vector<std::int32_t> shape;  ///< batch first, channels last; empty = a scalar
  TensorType type = TensorType_INT8;
  bool constant = false;
  bool variable = false;             ///< keeps its content between calls
  Bytes data;                        ///< of a constant
  std::vector<float> scales;         ///< none, one, or one per index of `quantized_dimension`
  std::vector<std::int64_t> zero_points;  ///< as many as scales
  std::int32_t quantized_dimension = 0;
  bool operator==(const FileTensor&) const = default;
  std::int64_t elements() const {
    std::int64_t n = 1;
    for (const std::int32_t d : shape) n *= d;
    return n;
  }
};

/// Options of all operators side by side; those that an operator does not have keep their defaults.
struct FileOptions {
  Padding padding = Padding_SAME;
  Size stride, dilation, filter;
  ActivationFunctionType activation = ActivationFunctionType_NONE;
  std::int32_t depth_multiplier = 1, axis = 0, splits = 0;
  float beta = 1;
  bool keep_dims = false, align_corners = false, half_pixel_centers = false;
  std::int32_t weights_format = 0;
  std::int32_t begin_mask = 0, end_mask = 0, other_masks = 0;  ///< STRIDED_SLICE; the others united
  bool operator==(const FileOptions&) const = default;
};

struct FileOperator {
  BuiltinOperator code = BuiltinOperator_ADD;
  std::string custom_code;
  std::int32_t version = 1;
  std::vector<std::int32_t> inputs, outputs;  ///< indices of tensors; −1 = an absent optional input
  FileOptions options;
  bool operator==(const FileOperator&) const = default;
};

/// A name of the file's signature for a tensor.
struct FilePort {
  std::string name;
  std::int32_t tensor = 0;
  bool operator==(const FilePort&) const = default;
};

struct File {
  std::string name, description, minimum_runtime;
  std::vector<FileTensor> tensors;
  std::vector<FileOperator> operators;
  std::vector<std::int32_t> inputs, outputs;
  std::vector<FilePort> signature_inputs, signature_outputs;
  bool operator==(const File&) const = default;
};

/// Throws Error when the bytes are no sound file: damaged structure, indices, shapes, sizes or quantisation
/// parameters. `name` stands in the message.
File parse_file(std::span<const std::uint8_t> bytes, std::string_view name);

/// Deterministic; contents are aligned to 16 bytes as runtimes that map files expect.
Bytes serialize_file(const File& file);

/// "CONV_2D", "operator 999", or "custom 'name'".
std::string operator_name(const FileOperator& op);

}  // namespace micromind::tflite
