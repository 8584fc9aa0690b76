#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/formats/tflite_writer.h"

namespace micromind::tflite {

void Writer::write(const Node& node, const Conv2d& conv) {
  const Shape& image = in(node);
  const bool depthwise = conv.depthwise(image);
  const Shape shape = depthwise ? Shape{1, conv.kernel.h, conv.kernel.w, conv.out_channels}
                                : Shape{conv.out_channels, conv.kernel.h, conv.kernel.w, image[0] / conv.groups};
  std::int32_t input = 0;
  const Padding padding = pad_for_window(node, {conv.kernel, conv.stride, conv.dilation}, conv.padding, false, input);
  const std::int32_t weight = add_weight(node, shape, depthwise ? 3 : 0), bias = add_bias(node, conv.out_channels);
  const bool grouped = !depthwise && conv.groups > 1;
  FileOperator& op = add_operator(depthwise ? BuiltinOperator_DEPTHWISE_CONV_2D : BuiltinOperator_CONV_2D, grouped ? 6 : 3,
                                  {input, weight, bias}, {value(node.outputs[0])});
  op.options.padding = padding;
  op.options.stride = conv.stride;
  op.options.dilation = conv.dilation;
  op.options.activation = fused(node, conv.activation);
  if (depthwise) op.options.depth_multiplier = conv.out_channels / image[0];
  if (grouped) file_.minimum_runtime = "2.9.0";
}

void Writer::write(const Node& node, const Linear& linear) {
  const std::int32_t weight = add_weight(node, {linear.out_features, in(node)[0]}, 0), bias = add_bias(node, linear.out_features);
  const bool per_channel = file_.tensors[static_cast<std::size_t>(weight)].scales.size() > 1;
  FileOperator& op = add_operator(BuiltinOperator_FULLY_CONNECTED, per_channel ? 12 : 4, {value(node.inputs[0]), weight, bias},
                                  {value(node.outputs[0])});
  op.options.activation = fused(node, linear.activation);
}

void Writer::write(const Node& node, const BatchNorm&) {
  fail_with_hint("tflite", "lower the graph first", "'{}': a batch norm has no int8 form", node.name);
}

void Writer::write(const Node& node, const Dropout&) {
  fail_with_hint("tflite", "lower the graph first", "'{}': a dropout has no int8 form", node.name);
}

void Writer::write(const Node& node, const Activation& activation) {
  const std::vector<std::int32_t> from = {value(node.inputs[0])}, to = {value(node.outputs[0])};
  switch (activation.function) {
    case Function::none: fail("tflite", "'{}': an activation of 'none'", node.name);
    case Function::relu: add_operator(BuiltinOperator_RELU, 2, from, to); return;
    case Function::relu6: add_operator(BuiltinOperator_RELU6, 2, from, to); return;
    case Function::hard_swish: add_operator(BuiltinOperator_HARD_SWISH, 1, from, to); return;
    case Function::silu: write_silu(node); return;
    case Function::sigmoid:
      expect_unit_scale(node);
      add_operator(BuiltinOperator_LOGISTIC, 2, from, to);
      return;
    case Function::hard_sigmoid:
      fail_with_hint("tflite", "use sigmoid in the network, or deploy without this format",
                     "'{}': the format has no operator for hard_sigmoid", node.name);
  }
}

// silu(x) = x · sigmoid(x), through the sigmoid's fixed scale.
void Writer::write_silu(const Node& node) {
  const std::int32_t x = value(node.inputs[0]);
  const std::int32_t gate = add_intermediate(node.name + ".sigmoid", in(node), {1.0f / 256, -128});
  add_operator(BuiltinOperator_LOGISTIC, 2, {x}, {gate});
  add_operator(BuiltinOperator_MUL, 2, {x, gate}, {value(node.outputs[0])});
}

void Writer::write(const Node& node, const Add& add) {
  add_operator(BuiltinOperator_ADD, 2, tensors(node.inputs), tensors(node.outputs)).options.activation = fused(node, add.activation);
}

void Writer::write(const Node& node, const Multiply&) {
  add_operator(BuiltinOperator_MUL, 2, tensors(node.inputs), tensors(node.outputs));
}

void Writer::write(const Node& node, const Concat& concat) {
  expect_equal_scales(node);
  add_operator(BuiltinOperator_CONCATENATION, 2, tensors(node.inputs), tensors(node.outputs)).options.axis =
      file_axis(concat.axis, in(node).rank());
}

void Writer::write(const Node& node, const Split& split) {
  expect_equal_scales(node);
  const std::int32_t parts = static_cast<std::int32_t>(split.sizes.size());
  const std::int32_t axis = add_constant(node.name + ".axis", {}, {file_axis(split.axis, in(node).rank())});
  const std::int32_t x = value(node.inputs[0]);
  if (std::all_of(split.sizes.begin(), split.sizes.end(), [&](std::int32_t s) { return s == split.sizes[0]; })) {
    add_operator(BuiltinOperator_SPLIT, 2, {axis, x}, tensors(node.outputs)).options.splits = parts;
    return;
  }
  const std::int32_t sizes = add_constant(node.name + ".sizes", {parts}, split.sizes);
  add_operator(BuiltinOperator_SPLIT_V, 2, {x, sizes, axis}, tensors(node.outputs)).options.splits = parts;
}

void Writer::write(const Node& node, const MaxPool2d& pool) {
  expect_equal_scales(node);
  std::int32_t input = 0;
  const Padding padding = pad_for_window(node, {pool.kernel, pool.stride, 1}, pool.padding, true, input);
  FileOptions& o = add_operator(BuiltinOperator_MAX_POOL_2D, 2, {input}, tensors(node.outputs)).options;
  o.padding = padding;
  o.filter = pool.kernel;
  o.stride = pool.stride;
}

void Writer::write(const Node& node, const AvgPool2d& pool) {
  expect_equal_scales(node);
  const auto padding = file_padding(in(node), out(node), {pool.kernel, pool.stride, 1}, pool.padding);
  if (!padding)
    fail_with_hint("tflite", "pool without padding, or pad as SAME does",
                   "'{}': average pooling with padding {}, {}, {}, {} (top, bottom, left, right) is neither SAME nor VALID, and a "
                   "separate PAD would count in the mean",
                   node.name, pool.padding.top, pool.padding.bottom, pool.padding.left, pool.padding.right);
  FileOptions& o = add_operator(BuiltinOperator_AVERAGE_POOL_2D, 2, tensors(node.inputs), tensors(node.outputs)).options;
  o.padding = *padding;
  o.filter = pool.kernel;
  o.stride = pool.stride;
}

void Writer::write(const Node& node, const AdaptiveAvgPool2d& pool) {
  if (pool.global()) {
    const std::int32_t axes = add_constant(node.name + ".axes", {2}, {1, 2});
    add_operator(BuiltinOperator_MEAN, 2, {value(node.inputs[0]), axes}, tensors(node.outputs)).options.keep_dims = true;
    return;
  }
  expect_equal_scales(node);
  const Shape& image = in(node);
  if (image[1] % pool.output.h != 0 || image[2] % pool.output.w != 0) {
    write_uneven_pool(node, pool);
    return;
  }
  FileOptions& o = add_operator(BuiltinOperator_AVERAGE_POOL_2D, 2, tensors(node.inputs), tensors(node.outputs)).options;
  o.padding = Padding_VALID;
  o.filter = o.stride = {image[1] / pool.output.h, image[2] / pool.output.w};
}

// Bin (i, j) is cut out, averaged whole, and the means are joined along rows, then along columns.
void Writer::write_uneven_pool(const Node& node, const AdaptiveAvgPool2d& pool) {
  const Shape& image = in(node);
  const Quantization& q = quantization(node.inputs[0]);
  const auto first = [](std::int32_t i, std::int32_t n, std::int32_t bins) { return static_cast<std::int32_t>(std::int64_t{i} * n / bins); };
  const auto last = [](std::int32_t i, std::int32_t n, std::int32_t bins) {
    return static_cast<std::int32_t>((std::int64_t{i + 1} * n + bins - 1) / bins);
  };
  const std::int32_t strides = add_constant(node.name + ".strides", {4}, {1, 1, 1, 1});
  std::vector<std::int32_t> rows;
  for (std::int32_t i = 0; i < pool.output.h; ++i) {
    const std::int32_t top = first(i, image[1], pool.output.h), bottom = last(i, image[1], pool.output.h);
    std::vector<std::int32_t> means;
    for (std::int32_t j = 0; j < pool.output.w; ++j) {
      const std::int32_t left = first(j, image[2], pool.output.w), right = last(j, image[2], pool.output.w);
      const std::string bin = fmt::format("{}.bin{}x{}", node.name, i, j);
      const std::int32_t begin = add_constant(bin + ".begin", {4}, {0, top, left, 0});
      const std::int32_t end = add_constant(bin + ".end", {4}, {1, bottom, right, image[0]});
      const std::int32_t cut = add_intermediate(bin + ".slice", {image[0], bottom - top, right - left}, q);
      means.push_back(add_intermediate(bin, {image[0], 1, 1}, q));
      add_operator(BuiltinOperator_STRIDED_SLICE, 2, {value(node.inputs[0]), begin, end, strides}, {cut});
      FileOptions& o = add_operator(BuiltinOperator_AVERAGE_POOL_2D, 2, {cut}, {means.back()}).options;
      o.padding = Padding_VALID;
      o.filter = {bottom - top, right - left};
    }
    const bool only = pool.output.h == 1;
    rows.push_back(only ? value(node.outputs[0]) : add_intermediate(fmt::format("{}.row{}", node.name, i), {image[0], 1, pool.output.w}, q));
    add_operator(BuiltinOperator_CONCATENATION, 2, means, {rows.back()}).options.axis = 2;
  }
  if (rows.size() > 1) add_operator(BuiltinOperator_CONCATENATION, 2, rows, tensors(node.outputs)).options.axis = 1;
}

void Writer::write(const Node& node, const Upsample&) {
  expect_equal_scales(node);
  const std::int32_t size = add_constant(node.name + ".size", {2}, {out(node)[1], out(node)[2]});
  add_operator(BuiltinOperator_RESIZE_NEAREST_NEIGHBOR, 2, {value(node.inputs[0]), size}, tensors(node.outputs));
}

void Writer::write(const Node& node, const Pad& pad) {
  expect_equal_scales(node);
  write_pad(node.name, in(node), node.inputs[0], pad.padding, false, value(node.outputs[0]));
}

void Writer::write(const Node& node, const Flatten&) {
  expect_equal_scales(node);
  const std::int32_t shape = add_constant(node.name + ".shape", {2}, {1, out(node)[0]});
  add_operator(BuiltinOperator_RESHAPE, 1, {value(node.inputs[0]), shape}, tensors(node.outputs));
}

void Writer::write(const Node& node, const Softmax&) {
  expect_unit_scale(node);
  add_operator(BuiltinOperator_SOFTMAX, 2, tensors(node.inputs), tensors(node.outputs)).options.beta = 1;
}

void Writer::write(const Node& node, const Requantize&) {
  add_operator(BuiltinOperator_QUANTIZE, 1, tensors(node.inputs), tensors(node.outputs));
}

// How a board with little memory runs the network is no affair of a file for other runtimes.
void Writer::write(const Node& node, const TakeRows&) { fail_with_hint("tflite", "export the model without patches", "{}: a band of rows is not exported", node.name); }
void Writer::write(const Node& node, const JoinRows&) { fail_with_hint("tflite", "export the model without patches", "{}: a band of rows is not exported", node.name); }

}  // namespace micromind::tflite
