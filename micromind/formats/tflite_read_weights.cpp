// Constants of the file into our layouts: the runtime's for int8, PyTorch's for float.
#include <cmath>
#include <cstring>

#include "micromind/formats/tflite_reader.h"

namespace micromind::tflite {
namespace {

template <class T>
std::span<const T> contents(const FileTensor& t) {  // Bytes are aligned for every T that we use
  return {reinterpret_cast<const T*>(t.data.data()), t.data.size() / sizeof(T)};
}

// Rows of `columns` become columns: [rows, columns] → [columns, rows].
template <class T>
void transpose(std::span<const T> in, std::span<T> out, std::size_t rows, std::size_t columns) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) out[c * rows + r] = in[r * columns + c];
}

// real = scale · (integer − zero point), the scale by index of the quantised dimension.
std::vector<float> dequantize(const FileTensor& t) {
  std::size_t inner = 1;
  for (std::size_t d = static_cast<std::size_t>(t.quantized_dimension) + 1; d < t.shape.size(); ++d) inner *= static_cast<std::size_t>(t.shape[d]);
  const auto in = contents<std::int8_t>(t);
  std::vector<float> out(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::size_t c = t.scales.size() == 1 ? 0 : i / inner % t.scales.size();
    out[i] = t.scales[c] * static_cast<float>(in[i] - t.zero_points[c]);
  }
  return out;
}

std::size_t size(std::int32_t n) { return static_cast<std::size_t>(n); }

}  // namespace

// `shape` is the runtime's. `swap`: the file has O×KH×KW×1 where we have 1×KH×KW×O, or the reverse. `flattened`: the
// image before a float linear layer, whose columns the file has in (H, W, C) order.
void Reader::add_weights(const FileOperator& op, const std::string& node, const Shape& shape, bool swap, const Shape& flattened) {
  const FileTensor& f = in(op, 1);
  const bool is_float = activation_type_ == TensorType_FLOAT32;
  const bool weights_only = is_float && f.type == TensorType_INT8 && !f.scales.empty();  // int8 weights of a float network
  if (!f.constant || (f.type != activation_type_ && !weights_only))
    bad(op, "its weights '{}' are {}{}; expected {} in the file", f.name, f.constant ? "" : "computed ", EnumNameTensorType(f.type),
        EnumNameTensorType(activation_type_));
  if (f.elements() != shape.elements()) bad(op, "its weights '{}' have {} elements; expected {}", f.name, f.elements(), shape.elements());
  const std::size_t n = size(static_cast<std::int32_t>(f.elements()));
  const bool conv = shape.rank() == 4;
  if (is_float) {
    const std::vector<float> dequantized = weights_only ? dequantize(f) : std::vector<float>();
    const std::span<const float> in = weights_only ? dequantized : contents<float>(f);
    if (!conv) {
      Array array(ElementType::float32, shape);
      const std::span<float> out = array.values<float>();
      const std::size_t columns = size(shape[1]), rows = size(shape[0]);
      const std::size_t channels = flattened.rank() > 0 ? size(flattened[0]) : 1;
      for (std::size_t r = 0; r < rows; ++r)
        transpose(in.subspan(r * columns, columns), out.subspan(r * columns, columns), columns / channels, channels);
      model_.weights[node + ".weight"] = std::move(array);
      return;
    }
    // O×KH×KW×I → O×I×KH×KW, or 1×KH×KW×O → O×1×KH×KW.
    const std::vector<std::int32_t>& d = f.shape;
    const bool channel_last = op.code == BuiltinOperator_DEPTHWISE_CONV_2D;
    const std::size_t window = size(d[1]) * size(d[2]), inner = size(d[3]);
    Array array(ElementType::float32, channel_last ? Shape{d[3], 1, d[1], d[2]} : Shape{d[0], d[3], d[1], d[2]});
    for (std::size_t o = 0; o < size(d[0]); ++o)
      transpose(in.subspan(o * window * inner, window * inner), array.values<float>().subspan(o * window * inner, window * inner), window, inner);
    model_.weights[node + ".weight"] = std::move(array);
    return;
  }
  for (const std::int64_t z : f.zero_points)
    if (z != 0) bad(op, "its weights '{}' have a zero point of {}; expected 0", f.name, z);
  const int channel_dimension = op.code == BuiltinOperator_DEPTHWISE_CONV_2D ? 3 : 0;
  const std::size_t channels = size(f.shape[size(channel_dimension)]);
  if (f.scales.size() != 1 && (f.scales.size() != channels || f.quantized_dimension != channel_dimension))
    bad(op, "its weights '{}' have {} scales along dimension {}; expected one, or {} along dimension {}", f.name, f.scales.size(),
        f.quantized_dimension, channels, channel_dimension);
  Array array(ElementType::int8, shape);
  array.scales = f.scales;
  const std::span<const std::int8_t> in = contents<std::int8_t>(f);
  const std::span<std::int8_t> out = array.values<std::int8_t>();
  if (swap) {
    const std::size_t rows = op.code == BuiltinOperator_DEPTHWISE_CONV_2D ? n / channels : channels;
    transpose(in, out, rows, n / rows);
  } else {
    std::copy(in.begin(), in.end(), out.begin());
  }
  model_.weights[node + ".weight"] = std::move(array);
}

void Reader::add_bias(const FileOperator& op, const std::string& node, std::int32_t channels) {
  const bool is_float = activation_type_ == TensorType_FLOAT32;
  Array array(is_float ? ElementType::float32 : ElementType::int32, {channels});
  if (op.inputs.size() == 3 && op.inputs[2] >= 0) {
    const FileTensor& f = in(op, 2);
    const auto wanted = is_float ? TensorType_FLOAT32 : TensorType_INT32;
    if (!f.constant || f.type != wanted || f.elements() != channels)
      bad(op, "its bias '{}' has {} elements of {}{}; expected {} of {}", f.name, f.elements(), f.constant ? "" : "computed ",
          EnumNameTensorType(f.type), channels, EnumNameTensorType(wanted));
    if (is_float) {
      const auto in = contents<float>(f);
      std::copy(in.begin(), in.end(), array.values<float>().begin());
    } else {
      const auto in = contents<std::int32_t>(f);
      std::copy(in.begin(), in.end(), array.values<std::int32_t>().begin());
      // The runtime adds it to products of input and weight: its scale must be theirs (within TensorFlow Lite's bound).
      const FileTensor &x = this->in(op, 0), &w = this->in(op, 1);
      for (std::size_t c = 0; c < f.scales.size() && f.scales.size() == w.scales.size(); ++c)
        if (std::abs(double{x.scales[0]} * w.scales[c] - double{f.scales[c]}) > 0.02 * out(op).scales[0])
          bad(op, "its bias '{}' has a scale of {}, which is not input times weight, {}", f.name, f.scales[c], x.scales[0] * w.scales[c]);
    }
  }
  model_.weights[node + ".bias"] = std::move(array);
}

}  // namespace micromind::tflite
