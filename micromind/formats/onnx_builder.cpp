#include "micromind/formats/onnx_builder.h"

#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include "micromind/base/error.h"

namespace micromind {
namespace {

constexpr std::int64_t kOpset = 14;     // the first with HardSwish
constexpr std::int64_t kIrVersion = 7;  // what that opset was released with

int data_type(ElementType type) {
  switch (type) {
    case ElementType::float32: return onnx::TensorProto::FLOAT;
    case ElementType::int8: return onnx::TensorProto::INT8;
    case ElementType::int32: return onnx::TensorProto::INT32;
  }
  return 0;
}

void set_port(onnx::ValueInfoProto& info, const std::string& name, const TensorType& type) {
  info.set_name(name);
  auto* tensor = info.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(data_type(type.element));
  tensor->mutable_shape()->add_dim()->set_dim_param("N");
  for (const std::int32_t d : type.shape) tensor->mutable_shape()->add_dim()->set_dim_value(d);
}

}  // namespace

OnnxBuilder::OnnxBuilder(const std::string& graph_name) : model_(std::make_unique<onnx::ModelProto>()) {
  model_->set_ir_version(kIrVersion);
  model_->set_producer_name("micromind");
  auto* opset = model_->add_opset_import();
  opset->set_domain("");
  opset->set_version(kOpset);
  model_->mutable_graph()->set_name(graph_name.empty() ? "network" : graph_name);
}

OnnxBuilder::~OnnxBuilder() = default;

void OnnxBuilder::input(const std::string& name, const TensorType& type) { set_port(*model_->mutable_graph()->add_input(), name, type); }

void OnnxBuilder::output(const std::string& name, const TensorType& type) { set_port(*model_->mutable_graph()->add_output(), name, type); }

template <class T>
std::string OnnxBuilder::add_constant(const std::string& name, const OnnxInts& shape, std::span<const T> values, int type) {
  onnx::TensorProto& t = *model_->mutable_graph()->add_initializer();
  t.set_name(name);
  t.set_data_type(type);
  for (const std::int64_t d : shape) t.add_dims(d);
  t.set_raw_data(values.data(), values.size_bytes());
  return name;
}

std::string OnnxBuilder::constant(const std::string& name, const OnnxInts& shape, std::span<const float> values) {
  return add_constant(name, shape, values, onnx::TensorProto::FLOAT);
}
std::string OnnxBuilder::constant(const std::string& name, const OnnxInts& shape, std::span<const std::int8_t> values) {
  return add_constant(name, shape, values, onnx::TensorProto::INT8);
}
std::string OnnxBuilder::constant(const std::string& name, const OnnxInts& shape, std::span<const std::int32_t> values) {
  return add_constant(name, shape, values, onnx::TensorProto::INT32);
}
std::string OnnxBuilder::constant(const std::string& name, const OnnxInts& values) {
  return add_constant(name, {static_cast<std::int64_t>(values.size())}, std::span(values), onnx::TensorProto::INT64);
}

void OnnxBuilder::node(const std::string& op, const std::string& name, const OnnxNames& inputs, const OnnxNames& outputs,
                       const std::vector<OnnxAttribute>& attributes) {
  onnx::NodeProto& n = *model_->mutable_graph()->add_node();
  n.set_op_type(op);
  n.set_name(name);
  for (const std::string& i : inputs) n.add_input(i);
  for (const std::string& o : outputs) n.add_output(o);
  for (const auto& [key, value] : attributes) {
    onnx::AttributeProto& a = *n.add_attribute();
    a.set_name(key);
    if (const auto* i = std::get_if<std::int64_t>(&value)) {
      a.set_type(onnx::AttributeProto::INT);
      a.set_i(*i);
    } else if (const auto* f = std::get_if<float>(&value)) {
      a.set_type(onnx::AttributeProto::FLOAT);
      a.set_f(*f);
    } else if (const auto* s = std::get_if<std::string>(&value)) {
      a.set_type(onnx::AttributeProto::STRING);
      a.set_s(*s);
    } else {
      a.set_type(onnx::AttributeProto::INTS);
      for (const std::int64_t v : std::get<OnnxInts>(value)) a.add_ints(v);
    }
  }
}

Bytes OnnxBuilder::finish() const {
  try {
    onnx::checker::check_model(*model_);
    onnx::ModelProto inferred = *model_;
    onnx::ShapeInferenceOptions strict(true, 1, false);
    onnx::shape_inference::InferShapes(inferred, onnx::OpSchemaRegistry::Instance(), strict);
  } catch (const std::exception& e) {
    fail("onnx", "'{}' does not pass ONNX's checker: {}", model_->graph().name(), e.what());
  }
  Bytes bytes(model_->ByteSizeLong());
  if (!model_->SerializeToArray(bytes.data(), static_cast<int>(bytes.size())))
    fail("onnx", "'{}' could not be serialised ({} bytes)", model_->graph().name(), bytes.size());
  return bytes;
}

}  // namespace micromind
