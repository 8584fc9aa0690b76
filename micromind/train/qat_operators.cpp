#include "micromind/train/qat_operators.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "micromind/quantize/executor.h"
#include "micromind/train/fused/depthwise.h"
#include "micromind/train/fused/pointwise.h"
#include "micromind/train/tensor_array.h"

namespace micromind {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// In the order of the chip's memory: (N, H, W, C).
at::Tensor in_memory_order(const at::Tensor& t) {
  return t.contiguous(t.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

constexpr std::int64_t kGrain = 16384;  // numbers that are worth a thread

struct Ends {
  float low, high;  // the real numbers that int8 covers
  explicit Ends(const Quantization& q)
      : low(static_cast<float>(-128 - q.zero_point) * q.scale), high(static_cast<float>(127 - q.zero_point) * q.scale) {}
};

struct Replace : torch::autograd::Function<Replace> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const c10::optional<at::Tensor>& log_range, const at::Tensor* bytes,
                            Quantization q) {
    const at::Tensor real = in_memory_order(input);
    at::Tensor value = at::empty_like(real);
    const bool learned = log_range.has_value();
    const std::int8_t* const b = bytes->data_ptr<std::int8_t>();
    float* const out = value.data_ptr<float>();
    at::parallel_for(0, real.numel(), kGrain, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) out[i] = static_cast<float>(b[i] - q.zero_point) * q.scale;
    });
    ctx->saved_data["scale"] = static_cast<double>(q.scale);
    ctx->saved_data["zero_point"] = static_cast<std::int64_t>(q.zero_point);
    ctx->saved_data["learned"] = learned;
    if (learned) ctx->save_for_backward({real, value});
    else ctx->save_for_backward({real});
    return value;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const bool learned = ctx->saved_data["learned"].toBool();
    const Quantization q{static_cast<float>(ctx->saved_data["scale"].toDouble()),
                         static_cast<std::int32_t>(ctx->saved_data["zero_point"].toInt())};
    const Ends ends(q);
    const at::Tensor dy = in_memory_order(gradients[0]);
    at::Tensor dx = at::empty_like(dy);
    const float *const real = saved[0].data_ptr<float>(), *const g = dy.data_ptr<float>();
    const float* const value = learned ? saved[1].data_ptr<float>() : nullptr;
    float* const d = dx.data_ptr<float>();
    const std::int64_t count = dy.numel(), parts = (count + kGrain - 1) / kGrain;
    std::vector<double> low(static_cast<std::size_t>(parts), 0), high = low;  // of each part, added up in order
    at::parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        const std::int64_t first = p * kGrain, last = std::min(count, first + kGrain);
        for (std::int64_t i = first; i < last; ++i)  // without a branch: vectors
          d[i] = g[i] * static_cast<float>(static_cast<int>(real[i] >= ends.low) & static_cast<int>(real[i] <= ends.high));
        if (!learned) continue;
        double below = 0, above = 0, inside = 0;
        for (std::int64_t i = first; i < last; ++i) {
          if (real[i] < ends.low) below += static_cast<double>(g[i]);
          else if (real[i] > ends.high) above += static_cast<double>(g[i]);
          else inside += static_cast<double>(g[i]) * static_cast<double>(value[i] - real[i]);
        }
        inside /= 255.0 * static_cast<double>(q.scale);
        low[static_cast<std::size_t>(p)] = below - inside;
        high[static_cast<std::size_t>(p)] = above + inside;
      }
    });
    at::Tensor of_range;
    if (learned) {
      double of_low = 0, of_high = 0;
      for (std::size_t p = 0; p < low.size(); ++p) of_low += low[p], of_high += high[p];
      const double share = 1 / std::sqrt(127.0 * static_cast<double>(count) / static_cast<double>(dy.size(0)));
      of_range = at::empty({2}, at::kFloat);
      of_range.data_ptr<float>()[0] = static_cast<float>(share * of_low * static_cast<double>(ends.low));
      of_range.data_ptr<float>()[1] = static_cast<float>(share * of_high * static_cast<double>(ends.high));
    }
    return {dx, of_range, at::Tensor(), at::Tensor()};
  }
};

struct Substitute : torch::autograd::Function<Substitute> {
  static at::Tensor forward(AutogradContext*, const at::Tensor&, const at::Tensor* value) { return *value; }
  static variable_list backward(AutogradContext*, const variable_list& gradients) { return {gradients[0], at::Tensor()}; }
};

}  // namespace

at::Tensor quantize_batch(const at::Tensor& real, const Quantization& q) {
  const at::Tensor x = in_memory_order(real);
  at::Tensor bytes = at::empty({x.size(0), x.numel() / x.size(0)}, at::kChar);
  const float* const from = x.data_ptr<float>();
  std::int8_t* const to = bytes.data_ptr<std::int8_t>();
  at::parallel_for(0, x.numel(), kGrain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) to[i] = quantize_value(from[i], q);
  });
  return bytes;
}

at::Tensor float_result(const Op& op, const TensorList& inputs, const TensorList& parameters) {
  if (const auto* conv = std::get_if<Conv2d>(&op)) {
    Conv2d plain = *conv;
    plain.activation = Function::none;
    const at::Tensor& x = inputs[0];
    const at::Tensor y = fused::pointwise_applies(plain)                ? fused::pointwise(x, parameters[0], parameters[1])
                         : fused::depthwise_applies(plain, x.size(1)) ? fused::depthwise(x, parameters[0], parameters[1], plain)
                                                                      : apply(Op(plain), inputs, parameters, {})[0];
    return apply(conv->activation, y);
  }
  return apply(op, inputs, parameters, {})[0];
}

at::Tensor straight_through(const at::Tensor& real, const at::Tensor& dequantized) { return Substitute::apply(real, &dequantized); }

at::Tensor straight_through(const at::Tensor& real, const at::Tensor& bytes, const Quantization& q, const at::Tensor& log_range) {
  return Replace::apply(real, log_range.defined() ? c10::optional<at::Tensor>(log_range) : c10::nullopt, &bytes, q);
}

at::Tensor dequantized_weight(const Array& weight, const Op& op, const Shape& input, const Shape& flattened) {
  const auto values = weight.values<std::int8_t>();
  const auto* conv = std::get_if<Conv2d>(&op);
  const bool depthwise = conv != nullptr && conv->depthwise(input);
  const std::size_t scales = weight.scales.size();
  const std::size_t per_output = scales == 0 ? 1 : values.size() / scales;
  at::Tensor t = at::empty(sizes_of(weight.shape()), at::kFloat);
  float* const out = t.data_ptr<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    out[i] = static_cast<float>(values[i]) * weight.scales[depthwise ? i % scales : i / per_output];
  if (depthwise) return t.permute({3, 0, 1, 2}).contiguous();                                        // 1·KH·KW·O → O·1·KH·KW
  if (conv != nullptr) return t.permute({0, 3, 1, 2});                                               // O·KH·KW·I → OIHW, channels-last
  if (flattened.rank() != 3) return t;
  return t.reshape({t.size(0), flattened[1], flattened[2], flattened[0]}).permute({0, 3, 1, 2}).reshape({t.size(0), t.size(1)});  // HWC → CHW
}

}  // namespace micromind
