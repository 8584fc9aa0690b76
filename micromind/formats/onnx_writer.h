// From a Model to ONNX nodes. onnx_writer.cpp: values, names, quantisation, weights; onnx_write_ops.cpp: one function
// an operator, the same for both forms: float operators between the values' float tensors.
#pragma once

#include <string>
#include <vector>

#include "micromind/formats/onnx_builder.h"
#include "micromind/graph/model.h"

namespace micromind {

class OnnxWriter {
 public:
  explicit OnnxWriter(const Model& model) : model_(model), graph_(model.graph), quantized_(is_quantized(model)), builder_(model.graph.name) {}
  Bytes run();

 private:
  // --- values ---
  void name_values();
  void add_inputs();
  void add_outputs();
  /// The float tensor that holds a value; in the int8 form the one behind its DequantizeLinear.
  const std::string& tensor(int value) const { return float_name_[static_cast<std::size_t>(value)]; }
  const std::string& tensor(const Node& node, std::size_t i = 0) const { return tensor(node.inputs[i]); }
  /// Where a node's float result goes. finish_value makes the value of it.
  std::string result(const Node& node, std::size_t i = 0) const;
  void finish_value(int value);
  /// The node's output is its input: no node is written.
  void alias(const Node& node);
  void quantize(const std::string& name, const std::string& from, const std::string& to, const Quantization& q);
  void dequantize(const std::string& name, const std::string& from, const std::string& to, const Quantization& q);
  const Quantization& quantization(int value) const;
  const Shape& in(const Node& node) const { return graph_.shape(node.inputs[0]); }
  const Shape& out(const Node& node) const { return graph_.shape(node.outputs[0]); }

  // --- weights: names of float tensors in PyTorch's layouts ---
  std::string parameter(const Node& node, std::string_view suffix, const Shape& shape);
  std::string weight(const Node& node, const Shape& shape);
  std::string bias(const Node& node, std::int32_t channels);

  // --- operators ---
  void op(const Node& node, const std::string& type, OnnxNames inputs, std::vector<OnnxAttribute> attributes = {}, Function f = Function::none);
  void function(const Node& node, Function f, const std::string& from, const std::string& to);
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
  void write_uneven_pool(const Node&, const AdaptiveAvgPool2d&);

  const Model& model_;
  const Graph& graph_;
  bool quantized_;
  OnnxBuilder builder_;
  std::vector<std::string> value_name_;  ///< the tensor of each value (int8 in the int8 form)
  std::vector<std::string> float_name_;
};

}  // namespace micromind
