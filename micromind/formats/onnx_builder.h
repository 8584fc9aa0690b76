// Builds an ONNX model out of plain values; the one place that touches ONNX's own headers is onnx_builder.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "micromind/base/file.h"
#include "micromind/graph/tensor_type.h"

namespace onnx {
class ModelProto;
}

namespace micromind {

/// Names of tensors; "" is an absent optional input.
using OnnxNames = std::vector<std::string>;
using OnnxInts = std::vector<std::int64_t>;
using OnnxAttribute = std::pair<std::string, std::variant<std::int64_t, float, std::string, OnnxInts>>;

class OnnxBuilder {
 public:
  explicit OnnxBuilder(const std::string& graph_name);
  ~OnnxBuilder();

  void input(const std::string& name, const TensorType& type);   ///< with a batch dimension "N" in front
  void output(const std::string& name, const TensorType& type);

  /// Initializers. Shapes have no batch; an empty shape is a scalar. They return `name`.
  std::string constant(const std::string& name, const OnnxInts& shape, std::span<const float> values);
  std::string constant(const std::string& name, const OnnxInts& shape, std::span<const std::int8_t> values);
  std::string constant(const std::string& name, const OnnxInts& shape, std::span<const std::int32_t> values);
  std::string constant(const std::string& name, const OnnxInts& values);

  void node(const std::string& op, const std::string& name, const OnnxNames& inputs, const OnnxNames& outputs,
            const std::vector<OnnxAttribute>& attributes = {});

  /// Checks with ONNX's checker and strict shape inference, then serialises. Throws Error.
  Bytes finish() const;

 private:
  template <class T>
  std::string add_constant(const std::string& name, const OnnxInts& shape, std::span<const T> values, int type);
  std::unique_ptr<onnx::ModelProto> model_;
};

}  // namespace micromind
