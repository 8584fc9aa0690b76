#include "micromind/train/fused/norm_act.h"

#include <torch/csrc/autograd/custom_function.h>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/norm_lines.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Calls f(first row, rows, mask of these rows): images one by one where there is a mask.
template <class F>
void for_rows(const at::Tensor& x, const at::Tensor& mask, F&& f) {
  const Int channels = x.size(1), each = x.size(2) * x.size(3);
  if (!mask.defined()) {
    for_parts(x.size(0) * each, channels, [&](Int part, Int first, Int last) { f(part, first, last - first, nullptr); });
    return;
  }
  for_parts(x.size(0), each * channels, [&](Int part, Int first, Int last) {
    for (Int n = first; n < last; ++n) f(part, n * each, each, data(mask) + n * channels);
  });
}

struct NormAct : torch::autograd::Function<NormAct> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& running_mean, const at::Tensor& running_var, const Maybe& channel_mask,
                            const NormActOptions& options) {
    const at::Tensor mask = value_or_none(channel_mask);
    const at::Tensor x = as_rows(input);
    const Int channels = x.size(1);
    const Lines lines = lines_of(x, weight, bias, running_mean, running_var, options);
    at::Tensor y = new_image_like(x);
    for_rows(x, mask, [&](Int, Int row, Int rows, const float* m) {
      kernels().norm_forward(options.function, data(x) + row * channels, y.data_ptr<float>() + row * channels, rows, channels,
                             {lines.scale(), lines.offset(), m});
    });
    ctx->save_for_backward({x, lines.tensor, mask});
    ctx->saved_data["function"] = static_cast<Int>(options.function);
    ctx->saved_data["training"] = options.training;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &mask = saved[2], dy = as_rows(gradients[0]);
    const Lines lines(saved[1]);
    const auto function = static_cast<micromind::Function>(ctx->saved_data["function"].toInt());
    const bool training = ctx->saved_data["training"].toBool();
    const Int channels = x.size(1), rows = x.numel() / channels;
    std::vector<double> sums(static_cast<std::size_t>(2 * channels * part_count(mask.defined() ? x.size(0) : rows)), 0.0);
    for_rows(x, mask, [&](Int part, Int row, Int count, const float* m) {
      double* const sum = sums.data() + 2 * channels * part;
      kernels().norm_backward_sums(function, data(x) + row * channels, data(dy) + row * channels, count, channels,
                                   {lines.scale(), lines.offset(), m}, lines.mean(), sum, sum + channels);
    });
    const NormGradients g = finish(sums, lines, rows, training);
    at::Tensor dx = new_image_like(x);
    for_rows(x, mask, [&](Int, Int row, Int count, const float* m) {
      kernels().norm_backward(function, data(x) + row * channels, data(dy) + row * channels, dx.data_ptr<float>() + row * channels, count,
                              channels, {lines.scale(), lines.offset(), m}, g.slope(), g.level());
    });
    return {dx, g.weight, g.bias, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor norm_act(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& running_mean,
                    const at::Tensor& running_var, const at::Tensor& mask, const NormActOptions& options) {
  return NormAct::apply(x, weight, bias, running_mean, running_var, maybe(mask), options);
}

}  // namespace micromind::fused
