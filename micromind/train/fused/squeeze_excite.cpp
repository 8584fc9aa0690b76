#include "micromind/train/fused/squeeze_excite.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <torch/csrc/autograd/custom_function.h>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// a·b and aᵀ·b of small matrices, with rows one after the other in memory.
at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor c = at::empty({a.size(0), b.size(1)}, at::kFloat);
  kernels().multiply(a.size(0), b.size(1), a.size(1), data(a), a.size(1), 1, data(b), b.size(1), data(c), b.size(1), false);
  return c;
}
at::Tensor turned_product(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor c = at::empty({a.size(1), b.size(1)}, at::kFloat);
  kernels().multiply(a.size(1), b.size(1), a.size(0), data(a), 1, a.size(1), data(b), b.size(1), data(c), b.size(1), false);
  return c;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor y = product(x, weight.reshape({weight.size(0), weight.size(1)}).t().contiguous());
  return bias.defined() ? y.add_(bias) : y;
}

// f(z) or dy·f'(z) of a small matrix.
at::Tensor function_of(Function f, const at::Tensor& z, const at::Tensor& dy) {
  const Int n = z.size(1);
  const at::Tensor one = at::ones({n}, at::kFloat), zero = at::zeros({n}, at::kFloat);
  const NormLine line = {data(one), data(zero), nullptr};
  at::Tensor result = at::empty_like(z);
  if (dy.defined()) kernels().norm_backward(f, data(z), data(dy), data(result), z.size(0), n, line, data(zero), data(zero));
  else kernels().norm_forward(f, data(z), data(result), z.size(0), n, line);
  return result;
}

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
    const at::Tensor z = linear(mean, reduce, reduce_bias), a = function_of(static_cast<micromind::Function>(function), z, {});
    const at::Tensor gate = at::sigmoid(linear(a, expand, expand_bias));
    at::Tensor y = new_image_like(x);
    for_images(x, [&](Int n, Int i) {
      kernels().channel_scale(data(x) + i, each, channels, data(gate) + n * channels, nullptr, y.data_ptr<float>() + i);
    });
    ctx->save_for_backward({x, reduce, expand, mean, z, a, gate});
    ctx->saved_data["function"] = function;
    ctx->saved_data["biases"] = std::vector<Int>{reduce_bias.defined(), expand_bias.defined()};
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &reduce = saved[1], &expand = saved[2], &mean = saved[3], &z = saved[4], &a = saved[5], &gate = saved[6];
    const at::Tensor dy = as_rows(gradients[0]);
    const Int channels = x.size(1), each = x.size(2) * x.size(3);
    const std::vector<Int> biases = ctx->saved_data["biases"].toIntVector();
    at::Tensor dgate = at::zeros({x.size(0), channels}, at::kFloat);
    for_images(x, [&](Int n, Int i) {
      kernels().channel_products(data(x) + i, data(dy) + i, each, channels, dgate.data_ptr<float>() + n * channels);
    });
    const at::Tensor d2 = dgate.mul_(gate).mul_(1 - gate);
    const at::Tensor da = product(d2, expand.reshape({channels, -1}).contiguous());
    const at::Tensor d1 = function_of(static_cast<micromind::Function>(ctx->saved_data["function"].toInt()), z, da);
    const at::Tensor dmean = product(d1, reduce.reshape({-1, channels}).contiguous()).div_(static_cast<double>(each));
    at::Tensor dx = new_image_like(x);
    for_images(x, [&](Int n, Int i) {
      kernels().channel_scale(data(dy) + i, each, channels, data(gate) + n * channels, data(dmean) + n * channels, dx.data_ptr<float>() + i);
    });
    return {dx,
            turned_product(d1, mean).reshape(reduce.sizes()), biases[0] ? d1.sum(0) : at::Tensor(),
            turned_product(d2, a).reshape(expand.sizes()), biases[1] ? d2.sum(0) : at::Tensor(),
            {}};
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
