// From an int8 Model to the plain values of a .tflite file. tflite_writer.cpp holds tensors and checks,
// tflite_write_ops.cpp one function an operator.
#pragma once

#include <string>
#include <vector>

#include "micromind/formats/tflite_file.h"
#include "micromind/formats/tflite_layout.h"
#include "micromind/graph/model.h"

namespace micromind::tflite {

class Writer {
 public:
  explicit Writer(const micromind::Model& model) : model_(model), graph_(model.graph) {}
  File run();

 private:
  // --- tensors ---
  std::int32_t value(int v) const { return tensor_of_value_[static_cast<std::size_t>(v)]; }
  std::int32_t add_tensor(FileTensor tensor);
  /// An intermediate tensor of a sequence that stands for one node.
  std::int32_t add_intermediate(std::string name, const Shape& shape, const Quantization& q);
  std::int32_t add_constant(std::string name, std::vector<std::int32_t> shape, const std::vector<std::int32_t>& values);
  std::int32_t add_weight(const Node& node, const Shape& shape, int channel_dimension);
  std::int32_t add_bias(const Node& node, std::int32_t channels);
  FileOperator& add_operator(BuiltinOperator code, std::int32_t version, std::vector<std::int32_t> in, std::vector<std::int32_t> out);

  // --- facts about a node ---
  const Quantization& quantization(int v) const;
  const Shape& in(const Node& node, int i = 0) const { return graph_.shape(node.inputs[static_cast<std::size_t>(i)]); }
  const Shape& out(const Node& node) const { return graph_.shape(node.outputs[0]); }
  std::vector<std::int32_t> tensors(const std::vector<int>& values) const;
  void expect_equal_scales(const Node& node) const;
  void expect_unit_scale(const Node& node) const;
  ActivationFunctionType fused(const Node& node, Function function) const;
  /// SAME or VALID for a window; otherwise writes a PAD or PADV2 operator and turns `input` to its output.
  Padding pad_for_window(const Node& node, const Window& window, const micromind::Padding& padding, bool lowest_value, std::int32_t& input);
  std::int32_t write_pad(const std::string& name, const Shape& shape, int source, const micromind::Padding& padding, bool lowest_value,
                         std::int32_t output);

  // --- operators ---
  void write(const Node&, const Conv2d&);
  void write(const Node&, const Linear&);
  void write(const Node&, const BatchNorm&);
  void write(const Node&, const Activation&);
  void write(const Node&, const Add&);
  void write(const Node&, const Multiply&);
  void write(const Node&, const Concat&);
  void write(const Node&, const Split&);
  void write(const Node&, const MaxPool2d&);
  void write(const Node&, const AvgPool2d&);
  void write(const Node&, const AdaptiveAvgPool2d&);
  void write(const Node&, const Upsample&);
  void write(const Node&, const Pad&);
  void write(const Node&, const Dropout&);
  void write(const Node&, const Flatten&);
  void write(const Node&, const Softmax&);
  void write(const Node&, const Requantize&);
  void write(const Node&, const TakeRows&);
  void write(const Node&, const JoinRows&);
  void write_silu(const Node&);
  void write_uneven_pool(const Node&, const AdaptiveAvgPool2d&);

  const micromind::Model& model_;
  const Graph& graph_;
  File file_;
  std::vector<std::int32_t> tensor_of_value_;
};

}  // namespace micromind::tflite
