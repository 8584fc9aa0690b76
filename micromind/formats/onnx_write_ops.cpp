#include <array>

#include "micromind/base/error.h"
#include "micromind/formats/onnx_writer.h"

namespace micromind {
namespace {

OnnxInts ints(const Size& s) { return {s.h, s.w}; }
OnnxInts ints(const Padding& p) { return {p.top, p.left, p.bottom, p.right}; }  // ONNX: all begins, then all ends

}  // namespace

// One ONNX node named as ours, and the fused function behind it.
void OnnxWriter::op(const Node& node, const std::string& type, OnnxNames inputs, std::vector<OnnxAttribute> attributes, Function f) {
  const std::string to = result(node), direct = f == Function::none ? to : node.name + "/before_" + std::string(to_string(f));
  builder_.node(type, node.name, inputs, {direct}, attributes);
  if (f != Function::none) function(node, f, direct, to);
}

void OnnxWriter::function(const Node& node, Function f, const std::string& from, const std::string& to) {
  const std::string name = std::holds_alternative<Activation>(node.op) ? node.name : fmt::format("{}/{}", node.name, to_string(f));
  const auto number = [&](const char* suffix, float value) {
    return builder_.constant(fmt::format("{}.{}", name, suffix), {}, std::span<const float>(&value, 1));
  };
  switch (f) {
    case Function::none: builder_.node("Identity", name, {from}, {to}); return;
    case Function::relu: builder_.node("Relu", name, {from}, {to}); return;
    case Function::relu6: builder_.node("Clip", name, {from, number("low", 0), number("high", 6)}, {to}); return;
    case Function::hard_swish: builder_.node("HardSwish", name, {from}, {to}); return;
    case Function::sigmoid: builder_.node("Sigmoid", name, {from}, {to}); return;
    case Function::hard_sigmoid: builder_.node("HardSigmoid", name, {from}, {to}, {{"alpha", 1.0f / 6}, {"beta", 0.5f}}); return;
    case Function::silu: {
      std::string gate = name + "/sigmoid";
      builder_.node("Sigmoid", gate, {from}, {gate});
      if (quantized_) {  // through the sigmoid's fixed scale, as in the .tflite file
        const Quantization unit = {1.0f / 256, -128};
        quantize(gate + "/QuantizeLinear", gate, gate + "/quantized", unit);
        dequantize(gate + "/DequantizeLinear", gate + "/quantized", gate + "/dequantized", unit);
        gate += "/dequantized";
      }
      builder_.node("Mul", name, {from, gate}, {to});
      return;
    }
  }
}

void OnnxWriter::write(const Node& node, const Conv2d& conv) {
  const Shape& image = in(node);
  OnnxNames inputs = {tensor(node), weight(node, {conv.out_channels, image[0] / conv.groups, conv.kernel.h, conv.kernel.w})};
  if (conv.bias || quantized_) inputs.push_back(bias(node, conv.out_channels));
  op(node, "Conv", inputs,
     {{"kernel_shape", ints(conv.kernel)},
      {"strides", ints(conv.stride)},
      {"dilations", ints(conv.dilation)},
      {"pads", ints(conv.padding)},
      {"group", std::int64_t{conv.groups}}},
     conv.activation);
}

void OnnxWriter::write(const Node& node, const Linear& linear) {
  OnnxNames inputs = {tensor(node), weight(node, {linear.out_features, in(node)[0]})};
  if (linear.bias || quantized_) inputs.push_back(bias(node, linear.out_features));
  op(node, "Gemm", inputs, {{"transB", std::int64_t{1}}}, linear.activation);
}

void OnnxWriter::write(const Node& node, const BatchNorm& norm) {
  if (quantized_) fail_with_hint("onnx", "lower the graph first", "'{}': a batch norm has no int8 form", node.name);
  const Shape channels = {in(node)[0]};
  op(node, "BatchNormalization",
     {tensor(node), parameter(node, "weight", channels), parameter(node, "bias", channels), parameter(node, "running_mean", channels),
      parameter(node, "running_var", channels)},
     {{"epsilon", norm.eps}});
}

void OnnxWriter::write(const Node& node, const Activation& activation) { function(node, activation.function, tensor(node), result(node)); }

void OnnxWriter::write(const Node& node, const Add& add) { op(node, "Add", {tensor(node, 0), tensor(node, 1)}, {}, add.activation); }

void OnnxWriter::write(const Node& node, const Multiply&) { op(node, "Mul", {tensor(node, 0), tensor(node, 1)}); }

void OnnxWriter::write(const Node& node, const Concat& concat) {
  OnnxNames inputs;
  for (const int v : node.inputs) inputs.push_back(tensor(v));
  op(node, "Concat", inputs, {{"axis", std::int64_t{concat.axis + 1}}});
}

void OnnxWriter::write(const Node& node, const Split& split) {
  OnnxNames outputs;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) outputs.push_back(result(node, i));
  builder_.node("Split", node.name, {tensor(node), builder_.constant(node.name + ".sizes", OnnxInts(split.sizes.begin(), split.sizes.end()))},
                outputs, {{"axis", std::int64_t{split.axis + 1}}});
}

void OnnxWriter::write(const Node& node, const MaxPool2d& pool) {
  op(node, "MaxPool", {tensor(node)}, {{"kernel_shape", ints(pool.kernel)}, {"strides", ints(pool.stride)}, {"pads", ints(pool.padding)}});
}

void OnnxWriter::write(const Node& node, const AvgPool2d& pool) {
  op(node, "AveragePool", {tensor(node)},
     {{"kernel_shape", ints(pool.kernel)}, {"strides", ints(pool.stride)}, {"pads", ints(pool.padding)}, {"count_include_pad", std::int64_t{0}}});
}

void OnnxWriter::write(const Node& node, const AdaptiveAvgPool2d& pool) {
  const Shape& image = in(node);
  if (pool.global()) {
    op(node, "GlobalAveragePool", {tensor(node)});
  } else if (image[1] % pool.output.h == 0 && image[2] % pool.output.w == 0) {
    const OnnxInts window = {image[1] / pool.output.h, image[2] / pool.output.w};
    op(node, "AveragePool", {tensor(node)}, {{"kernel_shape", window}, {"strides", window}});
  } else {
    write_uneven_pool(node, pool);
  }
}

// Bin [⌊i·n/b⌋, ⌈(i+1)·n/b⌉) along each axis: cut out, averaged, joined along rows, then along columns.
void OnnxWriter::write_uneven_pool(const Node& node, const AdaptiveAvgPool2d& pool) {
  const auto first = [](std::int64_t i, std::int64_t n, std::int64_t bins) { return i * n / bins; };
  const auto last = [](std::int64_t i, std::int64_t n, std::int64_t bins) { return ((i + 1) * n + bins - 1) / bins; };
  const Shape& image = in(node);
  const std::string axes = builder_.constant(node.name + ".axes", {2, 3});
  OnnxNames rows;
  for (std::int32_t i = 0; i < pool.output.h; ++i) {
    OnnxNames means;
    for (std::int32_t j = 0; j < pool.output.w; ++j) {
      const std::string bin = fmt::format("{}/bin{}x{}", node.name, i, j);
      const std::string begin = builder_.constant(bin + ".begin", {first(i, image[1], pool.output.h), first(j, image[2], pool.output.w)});
      const std::string end = builder_.constant(bin + ".end", {last(i, image[1], pool.output.h), last(j, image[2], pool.output.w)});
      builder_.node("Slice", bin + "/slice", {tensor(node), begin, end, axes}, {bin + "/slice"});
      builder_.node("ReduceMean", bin, {bin + "/slice"}, {bin}, {{"axes", OnnxInts{2, 3}}, {"keepdims", std::int64_t{1}}});
      means.push_back(bin);
    }
    rows.push_back(fmt::format("{}/row{}", node.name, i));
    builder_.node("Concat", rows.back(), means, {rows.back()}, {{"axis", std::int64_t{3}}});
  }
  op(node, "Concat", rows, {{"axis", std::int64_t{2}}});
}

void OnnxWriter::write(const Node& node, const Upsample& upsample) {
  const std::array<float, 4> scales = {1, 1, static_cast<float>(upsample.scale.h), static_cast<float>(upsample.scale.w)};
  op(node, "Resize", {tensor(node), "", builder_.constant(node.name + ".scales", {4}, std::span<const float>(scales))},
     {{"mode", std::string("nearest")},
      {"coordinate_transformation_mode", std::string("asymmetric")},
      {"nearest_mode", std::string("floor")}});
}

void OnnxWriter::write(const Node& node, const Pad& pad) {
  const Padding& p = pad.padding;
  op(node, "Pad", {tensor(node), builder_.constant(node.name + ".pads", {0, 0, p.top, p.left, 0, 0, p.bottom, p.right})});
}

void OnnxWriter::write(const Node& node, const Dropout&) { alias(node); }

// The int8 form flattens (H, W, C), as its linear layers expect.
void OnnxWriter::write(const Node& node, const Flatten&) {
  const Shape& shape = in(node);
  std::string from = tensor(node);
  if (quantized_ && shape.rank() > 1 && shape[0] > 1 && shape.elements() > shape[0]) {
    const OnnxInts order = shape.rank() == 3 ? OnnxInts{0, 2, 3, 1} : OnnxInts{0, 2, 1};
    builder_.node("Transpose", node.name + "/transpose", {from}, {node.name + "/transpose"}, {{"perm", order}});
    from = node.name + "/transpose";
  }
  op(node, "Flatten", {from}, {{"axis", std::int64_t{1}}});
}

void OnnxWriter::write(const Node& node, const Softmax&) { op(node, "Softmax", {tensor(node)}, {{"axis", std::int64_t{1}}}); }

void OnnxWriter::write(const Node& node, const Requantize&) { alias(node); }

// How a board with little memory runs the network is no affair of a file for other runtimes.
void OnnxWriter::write(const Node& node, const TakeRows&) { fail_with_hint("onnx", "export the model without patches", "{}: a band of rows is not exported", node.name); }
void OnnxWriter::write(const Node& node, const JoinRows&) { fail_with_hint("onnx", "export the model without patches", "{}: a band of rows is not exported", node.name); }

}  // namespace micromind
