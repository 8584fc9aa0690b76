#include "micromind/train/operators.h"

#include <ATen/Parallel.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/add.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/hardsigmoid.h>
#include <ATen/ops/hardswish.h>
#include <ATen/ops/hardtanh.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <array>
#include <limits>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/train/distributed/sync_batch_norm.h"
#include "micromind/train/streams.h"

namespace micromind {
namespace {

using Pair = std::array<std::int64_t, 2>;

Pair pair(Size s) { return {s.h, s.w}; }

bool symmetric(const Padding& p) { return p.top == p.bottom && p.left == p.right; }

at::Tensor pad(const at::Tensor& x, const Padding& p, double value) {
  return at::constant_pad_nd(x, std::array<std::int64_t, 4>{p.left, p.right, p.top, p.bottom}, value);
}

at::Tensor optional_at(const TensorList& list, std::size_t i) { return i < list.size() ? list[i] : at::Tensor(); }

at::Tensor run(const Conv2d& o, const TensorList& in, const TensorList& p) {
  const bool native = symmetric(o.padding);
  const at::Tensor x = native ? in[0] : pad(in[0], o.padding, 0);
  const Pair padding = native ? Pair{o.padding.top, o.padding.left} : Pair{0, 0};
  return apply(o.activation, at::conv2d(x, p[0], optional_at(p, 1), pair(o.stride), padding, pair(o.dilation), o.groups));
}

at::Tensor run(const BatchNorm& o, const TensorList& in, const TensorList& p, const OpContext& context) {
  const at::Tensor& x = in[0];
  if (context.training && context.ranks != nullptr) return sync_batch_norm(*context.ranks, o, x, p[0], p[1], p[2], p[3]);
  if (context.training && x.numel() == x.size(1))
    fail_with_hint("batch_norm", "use a larger batch",
                   "one value a channel has no variance to train with");
  return at::batch_norm(x, p[0], p[1], p[2], p[3], context.training, o.momentum, o.eps, /*cudnn_enabled=*/true);
}

// Torch's pooling pads both sides alike and by half a window at most; anything else is padded beforehand.
bool pool_is_native(const Padding& p, Size kernel) {
  return symmetric(p) && 2 * p.top <= kernel.h && 2 * p.left <= kernel.w;
}

at::Tensor run(const MaxPool2d& o, const at::Tensor& x) {
  if (pool_is_native(o.padding, o.kernel))
    return at::max_pool2d(x, pair(o.kernel), pair(o.stride), Pair{o.padding.top, o.padding.left});
  return at::max_pool2d(pad(x, o.padding, -std::numeric_limits<double>::infinity()), pair(o.kernel), pair(o.stride));
}

at::Tensor run(const AvgPool2d& o, const at::Tensor& x) {
  if (pool_is_native(o.padding, o.kernel))
    return at::avg_pool2d(x, pair(o.kernel), pair(o.stride), Pair{o.padding.top, o.padding.left}, /*ceil_mode=*/false,
                          /*count_include_pad=*/false);
  // Sum of each window over the number of its elements that are not padding.
  const auto window_sums = [&](const at::Tensor& t) {
    return at::avg_pool2d(pad(t, o.padding, 0), pair(o.kernel), pair(o.stride), Pair{0, 0}, false, true, /*divisor_override=*/1);
  };
  return at::div(window_sums(x), window_sums(at::ones({1, 1, x.size(2), x.size(3)}, x.options().requires_grad(false))));
}

at::Tensor run(const Dropout& o, const at::Tensor& x, const OpContext& context) {
  if (!context.training || o.p == 0) return x;
  if (o.channels && x.dim() == 4) return at::mul(x, dropout_mask({x.size(0), x.size(1), 1, 1}, o.p, context).to(x.device()));
  const at::Tensor mask = dropout_mask(x.sizes(), o.p, context).to(x.device());
  return at::mul(x, x.dim() == 4 ? mask.contiguous(x.suggest_memory_format()) : mask);
}

at::Tensor run(const Upsample& o, const at::Tensor& x) {
  return at::upsample_nearest2d(x, Pair{x.size(2) * o.scale.h, x.size(3) * o.scale.w});
}

}  // namespace

at::Tensor apply(Function function, const at::Tensor& x) {
  switch (function) {
    case Function::none: return x;
    case Function::relu: return at::relu(x);
    case Function::relu6: return at::hardtanh(x, 0, 6);
    case Function::hard_swish: return at::hardswish(x);
    case Function::silu: return at::silu(x);
    case Function::sigmoid: return at::sigmoid(x);
    case Function::hard_sigmoid: return at::hardsigmoid(x);
  }
  fail("train", "unknown function {}", static_cast<int>(function));
}

at::Tensor dropout_mask(at::IntArrayRef shape, float p, const OpContext& context) {
  at::Tensor mask = at::empty(shape, at::kFloat);
  if (mask.numel() == 0) return mask;
  float* const values = mask.data_ptr<float>();
  const std::int64_t each = mask.numel() / shape[0];
  const float scale = 1 / (1 - p);
  at::parallel_for(0, shape[0], 1 + 4096 / each, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n) {
      Random random(context.seed, {kDropoutStream, context.step, context.node, context.first_sample + static_cast<std::uint64_t>(n) * context.sample_step});
      for (std::int64_t i = 0; i < each; ++i) values[n * each + i] = random.uniform() < p ? 0 : scale;
    }
  });
  return mask;
}

TensorList apply(const Op& op, const TensorList& in, const TensorList& p, const OpContext& context) {
  return std::visit(
      Overloaded{
          [&](const Conv2d& o) -> TensorList { return {run(o, in, p)}; },
          [&](const Linear& o) -> TensorList { return {apply(o.activation, at::linear(in[0], p[0], optional_at(p, 1)))}; },
          [&](const BatchNorm& o) -> TensorList { return {run(o, in, p, context)}; },
          [&](const Activation& o) -> TensorList { return {apply(o.function, in[0])}; },
          [&](const Add& o) -> TensorList { return {apply(o.activation, at::add(in[0], in[1]))}; },
          [&](const Multiply&) -> TensorList { return {at::mul(in[0], in[1])}; },
          [&](const Concat& o) -> TensorList { return {at::cat(in, o.axis + 1)}; },
          [&](const Split& o) -> TensorList {
            const std::vector<std::int64_t> sizes(o.sizes.begin(), o.sizes.end());
            return in[0].split_with_sizes(sizes, o.axis + 1);
          },
          [&](const MaxPool2d& o) -> TensorList { return {run(o, in[0])}; },
          [&](const AvgPool2d& o) -> TensorList { return {run(o, in[0])}; },
          [&](const AdaptiveAvgPool2d& o) -> TensorList { return {at::adaptive_avg_pool2d(in[0], pair(o.output))}; },
          [&](const Upsample& o) -> TensorList { return {run(o, in[0])}; },
          [&](const Pad& o) -> TensorList { return {pad(in[0], o.padding, 0)}; },
          [&](const Dropout& o) -> TensorList { return {run(o, in[0], context)}; },
          [&](const Flatten&) -> TensorList { return {in[0].reshape({in[0].size(0), -1})}; },
          [&](const Softmax&) -> TensorList { return {at::softmax(in[0], 1)}; },
          [&](const Requantize&) -> TensorList { return {in[0]}; },
          [&](const TakeRows& o) -> TensorList { return {in[0].narrow(2, o.first, o.count)}; },
          [&](const JoinRows&) -> TensorList { return {at::cat(in, 2)}; },
      },
      op);
}

}  // namespace micromind
