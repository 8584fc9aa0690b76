#include "micromind/train/fused/squeeze_excite.h"

#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include "micromind/train/fused/excite.h"
#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Calls f(image, first float of it).
template <class F>
void for_images(const at::Tensor& x, F&& f) {
  const Int size = x.numel() / x.size(0);
  for_parts(x.size(0), size, [&](Int, Int first, Int last) {
    for (Int n = first; n < last; ++n) f(n, n * size);
  });
}

struct SqueezeExcite : torch::autograd::Function<SqueezeExcite> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& reduce, const Maybe& first_bias,
                            const at::Tensor& expand, const Maybe& second_bias, Int function) {
    const at::Tensor reduce_bias = value_or_none(first_bias), expand_bias = value_or_none(second_bias);
    const at::Tensor x = as_rows(input);
    const Int channels = x.size(1), each = x.size(2) * x.size(3);
    at::Tensor mean = at::zeros({x.size(0), channels}, at::kFloat);
    for_images(x, [&](Int n, Int i) { kernels().channel_sums(data(x) + i, each, channels, mean.data_ptr<float>() + n * channels); });
    mean.div_(static_cast<double>(each));
    const Excitation e = excite(mean, {reduce, reduce_bias, expand, expand_bias}, static_cast<micromind::Function>(function));
    const at::Tensor& gate = e.gate;
    at::Tensor y = new_image_like(x);
    for_images(x, [&](Int n, Int i) {
      kernels().channel_scale(data(x) + i, each, channels, data(gate) + n * channels, nullptr, y.data_ptr<float>() + i);
    });
    ctx->save_for_backward({x, reduce, reduce_bias, expand, expand_bias, e.mean, e.z, e.a, e.gate});
    ctx->saved_data["function"] = function;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& x = saved[0];
    const SqueezeWeights weights = {saved[1], saved[2], saved[3], saved[4]};
    const Excitation e = {saved[5], saved[6], saved[7], saved[8]};
    const at::Tensor& gate = e.gate;
    const at::Tensor dy = as_rows(gradients[0]);
    const Int channels = x.size(1), each = x.size(2) * x.size(3);
    at::Tensor dgate = at::zeros({x.size(0), channels}, at::kFloat);
    for_images(x, [&](Int n, Int i) {
      kernels().channel_products(data(x) + i, data(dy) + i, each, channels, dgate.data_ptr<float>() + n * channels);
    });
    const ExcitationGradients g = excite_backward(e, weights, static_cast<micromind::Function>(ctx->saved_data["function"].toInt()),
                                                  dgate.mul_(gate).mul_(1 - gate));
    const at::Tensor level = g.mean.div(static_cast<double>(each));
    at::Tensor dx = new_image_like(x);
    for_images(x, [&](Int n, Int i) {
      kernels().channel_scale(data(dy) + i, each, channels, data(gate) + n * channels, data(level) + n * channels, dx.data_ptr<float>() + i);
    });
    return {dx, g.reduce, g.reduce_bias, g.expand, g.expand_bias, {}};
  }
};

struct SigmoidGate : torch::autograd::Function<SigmoidGate> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& first, const at::Tensor& second) {
    const at::Tensor x = as_rows(first), g = as_rows(second);
    at::Tensor y = new_image_like(x);
    for_parts(x.numel(), 1, [&](Int, Int i, Int end) { kernels().gate_forward(data(x) + i, data(g) + i, end - i, y.data_ptr<float>() + i); });
    ctx->save_for_backward({x, g});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &g = saved[1], dy = as_rows(gradients[0]);
    at::Tensor dx = new_image_like(x), dg = new_image_like(x);
    for_parts(x.numel(), 1, [&](Int, Int i, Int end) {
      kernels().gate_backward(data(x) + i, data(g) + i, data(dy) + i, end - i, dx.data_ptr<float>() + i, dg.data_ptr<float>() + i);
    });
    return {dx, dg};
  }
};

}  // namespace

at::Tensor squeeze_excite(const at::Tensor& x, const SqueezeWeights& w, Function f) {
  return SqueezeExcite::apply(x, w.reduce, maybe(w.reduce_bias), w.expand, maybe(w.expand_bias), static_cast<Int>(f));
}

at::Tensor sigmoid_gate(const at::Tensor& x, const at::Tensor& g) { return SigmoidGate::apply(x, g); }

}  // namespace micromind::fused
