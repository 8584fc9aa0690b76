// Sequences of operators that are one node of ours: LOGISTIC and MUL (silu), the bins of uneven pooling, and padding
// in front of a window.
#include <algorithm>
#include <limits>

#include "micromind/formats/tflite_reader.h"

namespace micromind::tflite {
namespace {

bool has_arity(const FileOperator& op, std::size_t inputs) {
  return op.inputs.size() == inputs && op.outputs.size() == 1 && std::none_of(op.inputs.begin(), op.inputs.end(), [](std::int32_t t) { return t < 0; });
}

bool is_integers(const FileTensor& t, std::size_t count) {
  return t.constant && (t.type == TensorType_INT32 || t.type == TensorType_INT64) && static_cast<std::size_t>(t.elements()) == count;
}

}  // namespace

void Reader::find_patterns() {
  for (int i = static_cast<int>(file_.operators.size()) - 1; i >= 0; --i) {
    if (role(i) != Role::plain) continue;
    switch (op(i).code) {
      case BuiltinOperator_MUL: match_silu(i); break;
      case BuiltinOperator_CONCATENATION: match_uneven_pool(i); break;
      case BuiltinOperator_PAD:
      case BuiltinOperator_PADV2: match_pad(i); break;
      default: break;
    }
  }
}

// MUL(x, LOGISTIC(x)) in either order.
bool Reader::match_silu(int i) {
  FileOperator& mul = op(i);
  if (!has_arity(mul, 2) || mul.options.activation != ActivationFunctionType_NONE) return false;
  for (const std::size_t k : {std::size_t{1}, std::size_t{0}}) {
    const std::int32_t gate = mul.inputs[k], x = mul.inputs[1 - k];
    const int p = producer(gate);
    if (p < 0 || role(p) != Role::plain || op(p).code != BuiltinOperator_LOGISTIC || !has_arity(op(p), 1)) continue;
    if (op(p).inputs[0] != x || uses(gate) != 1 || !is_activation(tensor(x)) || !is_activation(tensor(gate))) continue;
    if (activation_type_ == TensorType_INT8 && (tensor(gate).scales != std::vector<float>{1.0f / 256} || tensor(gate).zero_points[0] != -128)) continue;
    role(p) = Role::absorbed;
    role(i) = Role::silu;
    mul.inputs = {x};
    return true;
  }
  return false;
}

// CONCATENATION over rows of CONCATENATION over columns of AVERAGE_POOL_2D of STRIDED_SLICE of one image, whose cuts
// are adaptive pooling's bins.
bool Reader::match_uneven_pool(int i) {
  std::vector<int> rows = {i}, absorbed;
  const auto made_by = [&](std::int32_t t, BuiltinOperator code) {
    const int p = t < 0 ? -1 : producer(t);
    return p >= 0 && role(p) == Role::plain && op(p).code == code && op(p).outputs.size() == 1 && uses(t) == 1 ? p : -1;
  };
  if (op(i).outputs.size() != 1 || op(i).inputs.empty() || op(i).options.activation != ActivationFunctionType_NONE) return false;
  if (op(i).options.axis == 1) {
    rows.clear();
    for (const std::int32_t t : op(i).inputs) {
      rows.push_back(made_by(t, BuiltinOperator_CONCATENATION));
      if (rows.back() < 0 || op(rows.back()).options.activation != ActivationFunctionType_NONE) return false;
    }
    absorbed = rows;
  }
  const std::size_t height = rows.size(), width = op(rows[0]).inputs.size();
  std::int32_t source = -1;
  for (std::size_t y = 0; y < height; ++y) {
    const FileOperator& row = op(rows[y]);
    if (row.options.axis != 2 || row.inputs.size() != width || width == 0) return false;
    for (std::size_t x = 0; x < width; ++x) {
      const int pool = made_by(row.inputs[x], BuiltinOperator_AVERAGE_POOL_2D);
      if (pool < 0 || !has_arity(op(pool), 1) || op(pool).options.activation != ActivationFunctionType_NONE) return false;
      const int slice = made_by(op(pool).inputs[0], BuiltinOperator_STRIDED_SLICE);
      if (slice < 0 || !has_arity(op(slice), 4)) return false;
      const FileOperator& cut = op(slice);
      if (source < 0) source = cut.inputs[0];
      const FileTensor& image = tensor(source);
      if (cut.inputs[0] != source || image.shape.size() != 4 || !is_integers(in(cut, 1), 4) || !is_integers(in(cut, 2), 4) || !is_integers(in(cut, 3), 4))
        return false;
      if (cut.options.begin_mask != 0 || cut.options.end_mask != 0 || cut.options.other_masks != 0) return false;
      const auto bin = [](std::size_t k, std::int64_t n, std::size_t bins) {
        const auto count = static_cast<std::int64_t>(bins), index = static_cast<std::int64_t>(k);
        return std::pair{index * n / count, ((index + 1) * n + count - 1) / count};
      };
      const auto [top, bottom] = bin(y, image.shape[1], height);
      const auto [left, right] = bin(x, image.shape[2], width);
      const std::vector<std::int64_t> begin = {0, top, left, 0}, end = {1, bottom, right, image.shape[3]}, ones = {1, 1, 1, 1};
      if (integers(in(cut, 1)) != begin || integers(in(cut, 2)) != end || integers(in(cut, 3)) != ones) return false;
      const FileOptions& o = op(pool).options;
      if (o.filter.h != bottom - top || o.filter.w != right - left || o.padding != Padding_VALID) return false;
      for (const int p : {pool, slice})
        if (!equal_scales(image, out(op(p)))) return false;
      absorbed.push_back(pool);
      absorbed.push_back(slice);
    }
  }
  if (height > static_cast<std::size_t>(tensor(source).shape[1]) * 4096 || !equal_scales(tensor(source), out(op(i)))) return false;
  for (const int a : absorbed) role(a) = Role::absorbed;
  role(i) = Role::uneven_pool;
  op(i).inputs = {source};
  op(i).options.filter = {static_cast<std::int32_t>(height), static_cast<std::int32_t>(width)};
  return true;
}

// PAD in front of a convolution, or PADV2 with the lowest value in front of max pooling, becomes its padding.
void Reader::match_pad(int i) {
  const FileOperator& pad = op(i);
  const auto padding = image_padding(pad);
  const int reader = pad.outputs.size() == 1 ? sole_reader(pad.outputs[0]) : -1;
  if (!padding || reader < 0 || !equal_scales(in(pad), out(pad))) return;
  const FileOperator& window = op(reader);
  if (window.inputs.empty() || window.inputs[0] != pad.outputs[0]) return;
  const bool zero = pad.code == BuiltinOperator_PAD;
  if (zero ? window.code != BuiltinOperator_CONV_2D && window.code != BuiltinOperator_DEPTHWISE_CONV_2D : window.code != BuiltinOperator_MAX_POOL_2D) return;
  if (!zero) {
    if (pad.inputs.size() != 3 || pad.inputs[2] < 0) return;
    const FileTensor& fill = in(pad, 2);
    const bool lowest = fill.constant && fill.type == TensorType_INT8 && fill.elements() == 1 && fill.data[0] == 0x80;
    const Size& k = window.options.filter;
    if (!lowest || window.options.padding != Padding_VALID) return;
    if (padding->top >= k.h || padding->bottom >= k.h || padding->left >= k.w || padding->right >= k.w) return;
  }
  merged_[pad.outputs[0]] = *padding;
  role(i) = Role::merged_pad;
}

// Of PAD and PADV2: rows and columns only.
std::optional<micromind::Padding> Reader::image_padding(const FileOperator& op) const {
  if (op.inputs.size() < 2 || op.inputs[0] < 0 || op.inputs[1] < 0 || op.outputs.size() != 1) return {};
  if (in(op).shape.size() != 4 || !is_integers(in(op, 1), 8)) return {};
  const std::vector<std::int64_t> p = integers(in(op, 1));
  if (p[0] != 0 || p[1] != 0 || p[6] != 0 || p[7] != 0) return {};
  if (std::any_of(p.begin(), p.end(), [](std::int64_t n) { return n < 0 || n > (1 << 20); })) return {};
  const auto narrow = [&](std::size_t k) { return static_cast<std::int32_t>(p[k]); };
  return micromind::Padding{narrow(2), narrow(3), narrow(4), narrow(5)};
}

}  // namespace micromind::tflite
