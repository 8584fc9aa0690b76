// One function an operator, in the file of its name below reference/ops. Tensors are single samples in (C, H, W).
#pragma once

#include <algorithm>
#include <span>

#include "micromind/graph/op.h"

namespace micromind::reference {

/// What an operator reads and writes. `out` is zeroed.
struct Call {
  std::span<const Shape> in_shapes, out_shapes;
  std::span<const std::span<const float>> in;
  std::span<const std::span<float>> out;
  std::span<const std::span<const float>> parameters;  ///< weight, bias, running_mean, … as ParameterSpec lists them
};

void run(const Conv2d& op, const Call& call);
void run(const Linear& op, const Call& call);
void run(const BatchNorm& op, const Call& call);
void run(const Activation& op, const Call& call);
void run(const Add& op, const Call& call);
void run(const Multiply& op, const Call& call);
void run(const Concat& op, const Call& call);
void run(const Split& op, const Call& call);
void run(const MaxPool2d& op, const Call& call);
void run(const AvgPool2d& op, const Call& call);
void run(const AdaptiveAvgPool2d& op, const Call& call);
void run(const Upsample& op, const Call& call);
void run(const Pad& op, const Call& call);
void run(const Dropout& op, const Call& call);
void run(const Flatten& op, const Call& call);
void run(const Softmax& op, const Call& call);
void run(const Requantize& op, const Call& call);
void run(const TakeRows& op, const Call& call);
void run(const JoinRows& op, const Call& call);

void apply(Function function, std::span<float> x);  ///< in place
inline void copy(const Call& call) { std::copy(call.in[0].begin(), call.in[0].end(), call.out[0].begin()); }

/// Extents of a tensor around `axis`: outer · axis · inner elements.
struct AxisView {
  std::int64_t outer = 1, inner = 1;
  AxisView(const Shape& shape, int axis) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  }
};

}  // namespace micromind::reference
