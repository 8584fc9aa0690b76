// What cannot be read is said before anything is read, all of it in one Error.
#include <algorithm>
#include <array>

#include "micromind/formats/tflite_reader.h"

namespace micromind::tflite {
namespace {

struct Arity {
  BuiltinOperator code;
  std::size_t low, high;  ///< inputs
};

constexpr std::size_t kAny = 1 << 20;
constexpr std::array kKnown = {
    Arity{BuiltinOperator_CONV_2D, 2, 3},       Arity{BuiltinOperator_DEPTHWISE_CONV_2D, 2, 3},
    Arity{BuiltinOperator_FULLY_CONNECTED, 2, 3}, Arity{BuiltinOperator_AVERAGE_POOL_2D, 1, 1},
    Arity{BuiltinOperator_MAX_POOL_2D, 1, 1},   Arity{BuiltinOperator_CONCATENATION, 1, kAny},
    Arity{BuiltinOperator_ADD, 2, 2},           Arity{BuiltinOperator_MUL, 2, 2},
    Arity{BuiltinOperator_RELU, 1, 1},          Arity{BuiltinOperator_RELU6, 1, 1},
    Arity{BuiltinOperator_LOGISTIC, 1, 1},      Arity{BuiltinOperator_HARD_SWISH, 1, 1},
    Arity{BuiltinOperator_SOFTMAX, 1, 1},       Arity{BuiltinOperator_RESHAPE, 1, 2},
    Arity{BuiltinOperator_SQUEEZE, 1, 1},       Arity{BuiltinOperator_EXPAND_DIMS, 2, 2},
    Arity{BuiltinOperator_PAD, 2, 2},           Arity{BuiltinOperator_PADV2, 3, 3},
    Arity{BuiltinOperator_MEAN, 2, 2},          Arity{BuiltinOperator_SPLIT, 2, 2},
    Arity{BuiltinOperator_SPLIT_V, 3, 3},       Arity{BuiltinOperator_RESIZE_NEAREST_NEIGHBOR, 2, 2},
    Arity{BuiltinOperator_QUANTIZE, 1, 1},
};

bool splits(const FileOperator& op) { return op.code == BuiltinOperator_SPLIT || op.code == BuiltinOperator_SPLIT_V; }

// Positions of inputs that must be small integer constants.
std::vector<std::size_t> integer_inputs(const FileOperator& op) {
  switch (op.code) {
    case BuiltinOperator_PAD:
    case BuiltinOperator_PADV2:
    case BuiltinOperator_MEAN:
    case BuiltinOperator_RESIZE_NEAREST_NEIGHBOR: return {1};
    case BuiltinOperator_SPLIT: return {0};
    case BuiltinOperator_SPLIT_V: return {1, 2};
    default: return {};
  }
}

// How many of the first inputs are data of the network.
std::size_t data_inputs(const FileOperator& op) {
  switch (op.code) {
    case BuiltinOperator_CONCATENATION:
    case BuiltinOperator_ADD:
    case BuiltinOperator_MUL: return op.inputs.size();
    default: return 1;
  }
}

}  // namespace

void Reader::check_support() {
  std::vector<std::string> list;
  for (std::size_t i = 0; i < file_.operators.size(); ++i) {
    if (roles_[i] == Role::dead || roles_[i] == Role::absorbed || roles_[i] == Role::edge) continue;
    if (const std::string why = unsupported(static_cast<int>(i)); !why.empty())
      list.push_back(fmt::format("{}: {}", describe(file_.operators[i]), why));
  }
  if (list.empty()) return;
  fail_with_hint("tflite", "change these layers, or cut the network before them", "{}: {} operator{} cannot be read:\n  {}", where_,
                 list.size(), list.size() == 1 ? "" : "s", fmt::join(list, "\n  "));
}

std::string Reader::unsupported(int i) {
  const FileOperator& o = op(i);
  const auto known = std::find_if(kKnown.begin(), kKnown.end(), [&](const Arity& a) { return a.code == o.code; });
  if (known == kKnown.end()) return "no such operator in micromind";
  if (role(i) == Role::silu || role(i) == Role::uneven_pool) return {};
  if (o.inputs.size() < known->low || o.inputs.size() > known->high) return fmt::format("it has {} inputs", o.inputs.size());
  if (o.outputs.empty() || (o.outputs.size() > 1 && !splits(o))) return fmt::format("it has {} outputs", o.outputs.size());
  for (std::size_t k = 0; k < o.inputs.size(); ++k)
    if (o.inputs[k] < 0 && k < std::max(known->low, data_inputs(o))) return fmt::format("its input {} is absent", k);
  for (const std::size_t k : integer_inputs(o)) {
    const FileTensor& t = in(o, k);
    if (!t.constant || (t.type != TensorType_INT32 && t.type != TensorType_INT64)) return fmt::format("its input {} is no integer constant", k);
  }
  const std::size_t first = o.code == BuiltinOperator_SPLIT ? 1 : 0;
  const auto wrong = [&](const FileTensor& t) {
    if (t.constant) return fmt::format("its operand '{}' is a constant", t.name);
    if (t.variable) return fmt::format("'{}' keeps state between calls", t.name);
    return fmt::format("'{}' is {}", t.name, EnumNameTensorType(t.type));
  };
  for (std::size_t k = first; k < first + data_inputs(o); ++k)
    if (!is_activation(in(o, k))) return wrong(in(o, k));
  for (const std::int32_t t : o.outputs)
    if (!is_activation(tensor(t))) return wrong(tensor(t));
  const ActivationFunctionType fused = o.options.activation;
  if (fused != ActivationFunctionType_NONE && fused != ActivationFunctionType_RELU && fused != ActivationFunctionType_RELU6)
    return fmt::format("it fuses activation {}", EnumNameActivationFunctionType(fused));
  switch (o.code) {
    case BuiltinOperator_FULLY_CONNECTED: return o.options.weights_format != 0 ? "its weights are shuffled" : "";
    case BuiltinOperator_SOFTMAX: return o.options.beta != 1 ? fmt::format("its beta is {}", o.options.beta) : "";
    case BuiltinOperator_ADD: return in(o, 0).shape != in(o, 1).shape ? "it broadcasts" : "";
    case BuiltinOperator_RESHAPE:
    case BuiltinOperator_SQUEEZE:
    case BuiltinOperator_EXPAND_DIMS: return unsupported_reshape(o);
    case BuiltinOperator_RESIZE_NEAREST_NEIGHBOR: {
      const auto &from = in(o).shape, &to = out(o).shape;
      if (o.options.align_corners) return "it aligns corners";
      if (from.size() != 4 || to.size() != 4 || from[1] < 1 || from[2] < 1 || to[1] % from[1] != 0 || to[2] % from[2] != 0)
        return "its factor is not a whole number";
      return {};
    }
    case BuiltinOperator_MEAN: {
      std::vector<std::int64_t> axes = integers(in(o, 1));
      for (std::int64_t& a : axes) a += a < 0 ? 4 : 0;
      std::sort(axes.begin(), axes.end());
      return in(o).shape.size() != 4 || axes != std::vector<std::int64_t>{1, 2} ? "it is not over height and width" : "";
    }
    case BuiltinOperator_PAD: return image_padding(o) ? "" : "it pads more than rows and columns";
    case BuiltinOperator_PADV2: {
      if (!image_padding(o)) return "it pads more than rows and columns";
      const FileTensor& fill = in(o, 2);
      const bool int8_zero = activation_type_ == TensorType_INT8 && fill.constant && fill.type == TensorType_INT8 && fill.elements() == 1 &&
                             in(o).zero_points.size() == 1 && static_cast<std::int8_t>(fill.data[0]) == in(o).zero_points[0];
      return role(i) == Role::merged_pad || int8_zero ? "" : "it fills with something else than zero";
    }
    default: return {};
  }
}

// Reshapes that a network of images and vectors needs: to a vector, to the same shape, and back from a vector to the
// image that it came from. Those behind an input are taken into the input.
std::string Reader::unsupported_reshape(const FileOperator& op) const {
  const std::string what = fmt::format("from [{}] to [{}]", fmt::join(in(op).shape, ", "), fmt::join(out(op).shape, ", "));
  if (in(op).elements() != out(op).elements()) return what;
  if (in(op).shape == out(op).shape || (out(op).shape.size() == 2 && out(op).shape[0] == 1)) return {};
  if (op.code == BuiltinOperator_RESHAPE && std::find(file_.inputs.begin(), file_.inputs.end(), op.inputs[0]) != file_.inputs.end()) return {};
  const int p = producer(op.inputs[0]);
  if (p >= 0) {
    const FileOperator& before = file_.operators[static_cast<std::size_t>(p)];
    const bool edge = roles_[static_cast<std::size_t>(p)] == Role::edge;
    const bool flattens = before.code == BuiltinOperator_RESHAPE || before.code == BuiltinOperator_SQUEEZE;
    if (edge || (flattens && in(before).shape == out(op).shape)) return {};
    if (before.code == BuiltinOperator_MEAN && !before.options.keep_dims && out(op).shape.size() == 4 && out(op).shape[1] == 1 && out(op).shape[2] == 1) return {};
  }
  return what;
}

}  // namespace micromind::tflite
