// An .onnx file as plain values: the one place that reads ONNX's protobuf classes. parse_onnx validates every count,
// shape, size and type that it takes over, so the code behind it works on sound numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "micromind/base/file.h"

namespace micromind::onnx_file {

/// Element types by ONNX's numbers (TensorProto.DataType); those that are not listed cannot be read.
enum class Dtype : std::int32_t {
  none = 0, float32 = 1, uint8 = 2, int8 = 3, uint16 = 4, int16 = 5, int32 = 6, int64 = 7, boolean = 9, float16 = 10, float64 = 11, uint32 = 12, uint64 = 13
};
std::string to_string(Dtype type);
/// 0 for a type that cannot be read.
int byte_size(Dtype type);

using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kMaxExtent = 1 << 24, kMaxElements = 1 << 28;  ///< far above any tinyML network
/// The product, or −1 when an extent is negative or above kMaxExtent, or the product above kMaxElements.
std::int64_t element_count(const Dims& dims);

struct Dequantized;

/// A tensor of known content. Double holds every value of the types below exactly, except integers beyond 2^53, which
/// occur as sentinels of Slice alone.
struct Constant {
  std::string name;  ///< the initializer's; "" when computed
  Dtype type = Dtype::float32;
  Dims dims;
  std::vector<double> values;
  std::shared_ptr<const Dequantized> quantized;  ///< where the values are those of a DequantizeLinear
};

/// What a DequantizeLinear of constants was made of.
struct Dequantized {
  Constant integers;
  std::vector<float> scales;             ///< one, or one per index of `axis`
  std::vector<std::int32_t> zero_points;  ///< as many as scales
  std::size_t axis = 0;
};

struct FileAttribute {
  enum class Kind { integer, number, text, integers, numbers, tensor, other };
  std::string name;
  Kind kind = Kind::other;
  std::int64_t i = 0;
  float f = 0;
  std::string s;
  Dims ints;
  std::vector<float> floats;
  std::shared_ptr<const Constant> tensor;
};

struct FileNode {
  std::string op, domain, name;
  std::vector<std::string> inputs, outputs;  ///< names of tensors; "" = absent
  std::vector<FileAttribute> attributes;
};

struct FilePort {
  std::string name;
  Dtype type = Dtype::float32;
  bool has_shape = false;
  Dims dims;  ///< −1: symbolic
};

struct File {
  std::string name, producer;
  std::int64_t opset = 0;
  std::vector<FileNode> nodes;
  std::vector<std::shared_ptr<const Constant>> constants;  ///< initializers
  std::vector<FilePort> inputs, outputs;                   ///< inputs that are initializers are left out
};

/// `name` stands in messages. Tensors outside the file are read from `folder`, from plain files beside it alone; where it
/// is empty they are refused. Throws Error when the bytes are no sound file.
File parse_onnx(std::span<const std::uint8_t> bytes, std::string_view name, const std::filesystem::path& folder = {});

/// "Conv 'features.0.0'", or "the Conv that makes 'x'" where the node has no name.
std::string describe(const FileNode& node);

}  // namespace micromind::onnx_file
