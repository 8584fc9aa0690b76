// The closed set of operators. Every walk over a graph is a std::visit over `Op` without a default branch, so the
// compiler lists what a new operator still needs. CONTRIBUTING.md names the files to touch.
#pragma once

#include <variant>

#include "micromind/graph/ops/activation.h"
#include "micromind/graph/ops/adaptive_avg_pool2d.h"
#include "micromind/graph/ops/add.h"
#include "micromind/graph/ops/avg_pool2d.h"
#include "micromind/graph/ops/batch_norm.h"
#include "micromind/graph/ops/concat.h"
#include "micromind/graph/ops/conv2d.h"
#include "micromind/graph/ops/dropout.h"
#include "micromind/graph/ops/flatten.h"
#include "micromind/graph/ops/join_rows.h"
#include "micromind/graph/ops/linear.h"
#include "micromind/graph/ops/max_pool2d.h"
#include "micromind/graph/ops/multiply.h"
#include "micromind/graph/ops/pad.h"
#include "micromind/graph/ops/requantize.h"
#include "micromind/graph/ops/softmax.h"
#include "micromind/graph/ops/split.h"
#include "micromind/graph/ops/take_rows.h"
#include "micromind/graph/ops/upsample.h"

namespace micromind {

using Op = std::variant<Conv2d, Linear, BatchNorm, Activation, Add, Multiply, Concat, Split, MaxPool2d, AvgPool2d,
                        AdaptiveAvgPool2d, Upsample, Pad, Dropout, Flatten, Softmax, Requantize, TakeRows, JoinRows>;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // what clang 14 cannot deduce

std::string_view op_name(const Op& op);

/// A default-constructed operator of that name. Throws Error with the nearest name.
Op op_from_name(std::string_view name);
std::vector<std::string> op_names();

/// The outputs are bytes of the inputs, in their place: nothing runs (flatten, take_rows, join_rows).
inline bool is_view(const Op& op) {
  return std::holds_alternative<Flatten>(op) || std::holds_alternative<TakeRows>(op) || std::holds_alternative<JoinRows>(op);
}

Shapes infer(const Op& op, ShapeSpan in);

/// Parameters in PyTorch's shapes; none for operators without any.
std::vector<ParameterSpec> parameters(const Op& op, ShapeSpan in);

/// Multiply-accumulates of convolutions and linear layers, bias excluded; 0 for all others.
std::int64_t macs(const Op& op, ShapeSpan in, ShapeSpan out);

}  // namespace micromind
