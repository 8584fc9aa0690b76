// libFuzzer target of the .onnx reader: cmake --preset fuzz; docs/formats.md.
//
// Random bytes seldom are another sound protobuf message: half of the mutations are made on the message itself, so that the
// reader sees whole models with wrong operators, attributes, names, shapes and numbers.
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "fuzz/readers.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using Random = std::mt19937;

int below(Random& random, int n) { return n < 1 ? 0 : static_cast<int>(random() % static_cast<unsigned>(n)); }

const char* const kOperators[] = {"Conv", "Gemm", "MatMul", "BatchNormalization", "Relu", "Clip", "Min", "Max", "HardSwish", "HardSigmoid", "Sigmoid", "Add", "Sum",
                                  "Sub", "Mul", "Div", "Neg", "Concat", "Split", "Slice", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean",
                                  "ReduceMax", "Pad", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Resize", "Upsample", "Softmax", "Dropout",
                                  "Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Shape", "Gather", "Constant", "ConstantOfShape", "Where", "Range", "Pow",
                                  "Equal", "Sqrt", "ReduceProd", "ReduceSum", "Floor", "LogSoftmax"};
const std::int64_t kNumbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 13, -1, -2, -3, 16, 127, 128, 255, 4096, 65536, 1 << 24, 1 << 28, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};

std::int64_t number(Random& random) { return kNumbers[below(random, std::size(kNumbers))]; }

void change_tensor(onnx::TensorProto& t, Random& random) {
  switch (below(random, 4)) {
    case 0:
      if (t.dims_size() > 0) t.set_dims(below(random, t.dims_size()), number(random));
      break;
    case 1: t.set_data_type(below(random, 18)); break;
    case 2: {  // shape and content together
      const int extent = below(random, 12);
      t.clear_dims();
      t.add_dims(extent);
      t.set_data_type(random() % 2 ? onnx::TensorProto::INT64 : onnx::TensorProto::FLOAT);
      const bool whole = t.data_type() == onnx::TensorProto::INT64;
      std::string raw;
      for (int i = 0; i < extent; ++i) {
        const std::int64_t v = number(random);
        const float f = static_cast<float>(v);
        raw.append(whole ? reinterpret_cast<const char*>(&v) : reinterpret_cast<const char*>(&f), whole ? 8 : 4);
      }
      t.set_raw_data(raw);
      break;
    }
    default:
      if (!t.raw_data().empty()) {
        std::string& raw = *t.mutable_raw_data();
        raw[static_cast<std::size_t>(below(random, static_cast<int>(raw.size())))] = static_cast<char>(random());
      }
  }
}

void change_attribute(onnx::AttributeProto& a, Random& random) {
  switch (below(random, 5)) {
    case 0: a.set_i(number(random)); break;
    case 1:
      if (a.ints_size() > 0) a.set_ints(below(random, a.ints_size()), number(random));
      break;
    case 2: a.add_ints(number(random)); break;
    case 3: a.set_f(static_cast<float>(number(random)) / 4); break;
    default:
      if (a.has_t()) change_tensor(*a.mutable_t(), random);
      else a.set_type(static_cast<onnx::AttributeProto::AttributeType>(below(random, 12)));
  }
}

void change(onnx::GraphProto& g, Random& random) {
  std::string known = "x";
  if (g.node_size() > 0) {
    const onnx::NodeProto& n = g.node(below(random, g.node_size()));
    if (n.output_size() > 0) known = n.output(below(random, n.output_size()));
  }
  if (random() % 3 == 0 && g.initializer_size() > 0) known = g.initializer(below(random, g.initializer_size())).name();
  const int what = below(random, 12);
  if (what < 7 && g.node_size() > 0) {
    onnx::NodeProto& n = *g.mutable_node(below(random, g.node_size()));
    switch (what) {
      case 0: n.set_op_type(kOperators[below(random, std::size(kOperators))]); break;
      case 1:
        if (n.input_size() > 0) n.set_input(below(random, n.input_size()), known);
        break;
      case 2: n.add_input(known); break;
      case 3:
        if (n.attribute_size() > 0) change_attribute(*n.mutable_attribute(below(random, n.attribute_size())), random);
        break;
      case 4:
        if (n.attribute_size() > 0) n.mutable_attribute()->DeleteSubrange(below(random, n.attribute_size()), 1);
        break;
      case 5: {  // a further node behind this one's output
        onnx::NodeProto& more = *g.add_node();
        more = n;
        more.set_op_type(kOperators[below(random, std::size(kOperators))]);
        if (more.input_size() > 0) more.set_input(0, n.output_size() > 0 ? n.output(0) : known);
        more.clear_output();
        more.add_output(known + "/more");
        if (g.output_size() > 0) g.mutable_output(0)->set_name(known + "/more");
        break;
      }
      default:
        if (n.output_size() > 0 && g.output_size() > 0) g.mutable_output(0)->set_name(n.output(0));
    }
    return;
  }
  if (what < 9 && g.initializer_size() > 0) return change_tensor(*g.mutable_initializer(below(random, g.initializer_size())), random);
  if (what == 9 && g.input_size() > 0) {
    auto& type = *g.mutable_input(0)->mutable_type()->mutable_tensor_type();
    if (random() % 2) type.set_elem_type(below(random, 12));
    auto& shape = *type.mutable_shape();
    if (shape.dim_size() > 0) shape.mutable_dim(below(random, shape.dim_size()))->set_dim_value(number(random));
    return;
  }
  if (what == 10 && g.node_size() > 1) g.mutable_node()->SwapElements(below(random, g.node_size()), below(random, g.node_size()));
  if (what == 11 && g.node_size() > 0) g.mutable_node()->DeleteSubrange(below(random, g.node_size()), 1);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  Random random(seed);
  onnx::ModelProto model;
  google::protobuf::SetLogHandler(nullptr);
  if (random() % 4 == 0 || !model.ParseFromArray(data, static_cast<int>(size)) || !model.has_graph()) return LLVMFuzzerMutate(data, size, max_size);
  for (int k = 1 + below(random, 4); k > 0; --k) change(*model.mutable_graph(), random);
  if (random() % 16 == 0 && model.opset_import_size() > 0) model.mutable_opset_import(0)->set_version(6 + below(random, 14));
  std::string out;
  if (!model.SerializeToString(&out) || out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  micromind::fuzz::read_as_onnx({data, size});
  return 0;
}
