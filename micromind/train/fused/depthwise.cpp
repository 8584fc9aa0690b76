#include "micromind/train/fused/depthwise.h"

#include <torch/csrc/autograd/custom_function.h>

#include <memory>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/norm_lines.h"
#include "micromind/train/fused/parts.h"
#include "micromind/train/fused/weights.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

DepthwiseShape shape_of(const at::Tensor& x, const Conv2d& conv) {
  const Padding& p = conv.padding;
  const Int k = conv.kernel.h, s = conv.stride.h, h = x.size(2), w = x.size(3);
  return {.channels = x.size(1), .height = h, .width = w, .out_height = (h + p.top + p.bottom - k) / s + 1,
          .out_width = (w + p.left + p.right - k) / s + 1, .kernel = k, .stride = s, .top = p.top, .left = p.left};
}

// Calls f(image, scratch, part) for every image.
template <class F>
void for_images(const at::Tensor& x, const DepthwiseShape& s, F&& f) {
  for_parts(x.size(0), s.channels * s.out_height * s.out_width * s.kernel, [&](Int part, Int first, Int last) {
    const std::unique_ptr<float[]> scratch(new float[static_cast<std::size_t>(depthwise_scratch(s))]);
    for (Int n = first; n < last; ++n) f(n, scratch.get(), part);
  });
}

struct Depthwise : torch::autograd::Function<Depthwise> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, const Maybe& channel_bias,
                            const Conv2d& conv) {
    const at::Tensor bias = value_or_none(channel_bias);
    const at::Tensor x = as_rows(input), taps = turned(weight);
    const DepthwiseShape s = shape_of(x, conv);
    at::Tensor y = new_image(x.size(0), s.channels, s.out_height, s.out_width);
    const Int in_size = s.channels * s.height * s.width, out_size = s.channels * s.out_height * s.out_width;
    for_images(x, s, [&](Int n, float* scratch, Int) {
      kernels().depthwise_forward(s, micromind::Function::none, nullptr, data(x) + n * in_size, data(taps), data(bias), y.data_ptr<float>() + n * out_size, scratch);
    });
    ctx->save_for_backward({x, weight});
    ctx->saved_data["shape"] = std::vector<Int>{s.out_height, s.out_width, s.kernel, s.stride, s.top, s.left};
    ctx->saved_data["bias"] = bias.defined();
    ctx->saved_data["input"] = input.requires_grad();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], dy = as_rows(gradients[0]), taps = turned(weight);
    const std::vector<Int> v = ctx->saved_data["shape"].toIntVector();
    const DepthwiseShape s = {x.size(1), x.size(2), x.size(3), v[0], v[1], v[2], v[3], v[4], v[5]};
    const bool wants_input = ctx->saved_data["input"].toBool();
    const Int in_size = s.channels * s.height * s.width, out_size = s.channels * s.out_height * s.out_width;
    at::Tensor dx = wants_input ? new_image_like(x) : at::Tensor();
    at::Tensor dw = at::zeros({part_count(x.size(0)), s.kernel * s.kernel, s.channels}, at::kFloat);
    for_images(x, s, [&](Int n, float* scratch, Int part) {
      kernels().depthwise_backward_weight(s, micromind::Function::none, nullptr, data(x) + n * in_size, data(dy) + n * out_size,
                                          dw.data_ptr<float>() + part * s.kernel * s.kernel * s.channels, scratch);
      if (wants_input)
        kernels().depthwise_backward_input(s, nullptr, data(dy) + n * out_size, data(taps), dx.data_ptr<float>() + n * in_size, scratch);
    });
    return {dx, add_up_turned(dw, weight), ctx->saved_data["bias"].toBool() ? dy.sum({0, 2, 3}) : at::Tensor(), {}};
  }
};

struct NormDepthwise : torch::autograd::Function<NormDepthwise> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& norm_weight, const at::Tensor& norm_bias,
                            const at::Tensor& running_mean, const at::Tensor& running_var, const Maybe& channel_mask,
                            const NormActOptions& options, const at::Tensor& weight, const Maybe& channel_bias, const Conv2d& conv) {
    const at::Tensor mask = value_or_none(channel_mask), bias = value_or_none(channel_bias);
    const at::Tensor x = as_rows(input), taps = turned(weight);
    const Lines lines = lines_of(x, norm_weight, norm_bias, running_mean, running_var, options);
    const DepthwiseShape s = shape_of(x, conv);
    at::Tensor y = new_image(x.size(0), s.channels, s.out_height, s.out_width);
    const Int in_size = s.channels * s.height * s.width, out_size = s.channels * s.out_height * s.out_width;
    for_images(x, s, [&](Int n, float* scratch, Int) {
      const NormLine line = {lines.scale(), lines.offset(), mask.defined() ? data(mask) + n * s.channels : nullptr};
      kernels().depthwise_forward(s, options.function, &line, data(x) + n * in_size, data(taps), data(bias), y.data_ptr<float>() + n * out_size,
                                  scratch);
    });
    ctx->save_for_backward({x, weight, lines.tensor, mask});
    ctx->saved_data["shape"] = std::vector<Int>{s.out_height, s.out_width, s.kernel, s.stride, s.top, s.left};
    ctx->saved_data["bias"] = bias.defined();
    ctx->saved_data["function"] = static_cast<Int>(options.function);
    ctx->saved_data["training"] = options.training;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mask = saved[3], dy = as_rows(gradients[0]), taps = turned(weight);
    const Lines lines(saved[2]);
    const auto function = static_cast<micromind::Function>(ctx->saved_data["function"].toInt());
    const std::vector<Int> v = ctx->saved_data["shape"].toIntVector();
    const DepthwiseShape s = {x.size(1), x.size(2), x.size(3), v[0], v[1], v[2], v[3], v[4], v[5]};
    const Int in_size = s.channels * s.height * s.width, out_size = s.channels * s.out_height * s.out_width, rows = x.numel() / s.channels;
    at::Tensor dx = new_image_like(x);  // first dz
    at::Tensor dw = at::zeros({part_count(x.size(0)), s.kernel * s.kernel, s.channels}, at::kFloat);
    std::vector<double> sums(static_cast<std::size_t>(2 * s.channels * part_count(x.size(0))), 0.0);
    for_images(x, s, [&](Int n, float* scratch, Int part) {
      const NormLine line = {lines.scale(), lines.offset(), mask.defined() ? data(mask) + n * s.channels : nullptr};
      double* const sum = sums.data() + 2 * s.channels * part;
      const NormGradient norm = {function, line, lines.mean(), data(x) + n * in_size, sum, sum + s.channels};
      kernels().depthwise_backward_weight(s, function, &line, data(x) + n * in_size, data(dy) + n * out_size,
                                          dw.data_ptr<float>() + part * s.kernel * s.kernel * s.channels, scratch);
      kernels().depthwise_backward_input(s, &norm, data(dy) + n * out_size, data(taps), dx.data_ptr<float>() + n * in_size, scratch);
    });
    const NormGradients g = finish(sums, lines, rows, ctx->saved_data["training"].toBool());
    for_parts(rows, s.channels, [&](Int, Int first, Int last) {
      float* const part = dx.data_ptr<float>() + first * s.channels;
      kernels().norm_backward(micromind::Function::none, data(x) + first * s.channels, part, part, last - first, s.channels,
                              {lines.scale(), lines.offset(), nullptr}, g.slope(), g.level());
    });
    return {dx, g.weight, g.bias, {}, {}, {}, {}, add_up_turned(dw, weight), ctx->saved_data["bias"].toBool() ? dy.sum({0, 2, 3}) : at::Tensor(), {}};
  }
};

}  // namespace

bool depthwise_applies(const Conv2d& conv, Int channels) {
  return channels > 1 && conv.groups == channels && conv.out_channels == channels && (conv.kernel == Size(3) || conv.kernel == Size(5)) &&
         conv.stride.h == conv.stride.w && conv.dilation == Size(1) && conv.activation == Function::none;
}

at::Tensor depthwise(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Conv2d& conv) {
  return Depthwise::apply(x, weight, maybe(bias), conv);
}

at::Tensor norm_depthwise(const NormInputs& norm, const NormActOptions& options, const at::Tensor& weight, const at::Tensor& bias,
                          const Conv2d& conv) {
  return NormDepthwise::apply(norm.x, norm.weight, norm.bias, norm.running_mean, norm.running_var, maybe(norm.mask), options, weight,
                              maybe(bias), conv);
}

}  // namespace micromind::fused
