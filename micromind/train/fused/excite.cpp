#include "micromind/train/fused/excite.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"
#include "micromind/train/fused/weights.h"

namespace micromind::fused {
namespace {

// a·b and aᵀ·b of small matrices, with rows one after the other in memory.
at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  const Int depth = a.size(1), columns = b.size(1);
  at::Tensor c = at::empty({a.size(0), columns}, at::kFloat);
  for_parts(a.size(0), depth * columns / 4, [&](Int, Int first, Int last) {
    kernels().multiply(last - first, columns, depth, data(a) + first * depth, depth, 1, data(b), columns,
                       c.data_ptr<float>() + first * columns, columns, false);
  });
  return c;
}
at::Tensor turned_product(const at::Tensor& a, const at::Tensor& b) {
  const Int depth = a.size(0), rows = a.size(1), columns = b.size(1);
  at::Tensor c = at::empty({rows, columns}, at::kFloat);
  for_parts(rows, depth * columns / 4, [&](Int, Int first, Int last) {
    kernels().multiply(last - first, columns, depth, data(a) + first, 1, rows, data(b), columns, c.data_ptr<float>() + first * columns, columns,
                       false);
  });
  return c;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor y = product(x, turned(weight));
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

}  // namespace

Excitation excite(const at::Tensor& mean, const SqueezeWeights& w, Function f) {
  Excitation e{mean, linear(mean, w.reduce, w.reduce_bias), {}, {}};
  e.a = function_of(f, e.z, {});
  e.gate = at::sigmoid(linear(e.a, w.expand, w.expand_bias));
  return e;
}

ExcitationGradients excite_backward(const Excitation& e, const SqueezeWeights& w, Function f, const at::Tensor& dz2) {
  const Int channels = e.mean.size(1);
  const at::Tensor da = product(dz2, w.expand.reshape({channels, -1}).contiguous()), dz = function_of(f, e.z, da);
  return {product(dz, w.reduce.reshape({-1, channels}).contiguous()),
          turned_product(dz, e.mean).reshape(w.reduce.sizes()), w.reduce_bias.defined() ? dz.sum(0) : at::Tensor(),
          turned_product(dz2, e.a).reshape(w.expand.sizes()), w.expand_bias.defined() ? dz2.sum(0) : at::Tensor()};
}

}  // namespace micromind::fused
