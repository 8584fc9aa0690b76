#include "micromind/train/fused/pool.h"

#include <torch/csrc/autograd/custom_function.h>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Calls f(first float in, first float out) for every row of windows.
template <class F>
void for_window_rows(const at::Tensor& x, Int out_height, const PoolWindow& w, F&& f) {
  const Int channels = x.size(1), out = w.count * channels, in = out * w.width * w.height;
  for_parts(x.size(0) * out_height, in, [&](Int, Int first, Int last) {
    for (Int r = first; r < last; ++r) f(r * in, r * out);
  });
}

struct MaxPool : torch::autograd::Function<MaxPool> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Int window) {
    const at::Tensor x = as_rows(input);
    at::Tensor y = new_image(x.size(0), x.size(1), x.size(2) / window, x.size(3) / window);
    const PoolWindow w = {window, window, y.size(3)};
    for_window_rows(x, y.size(2), w, [&](Int in, Int out) { kernels().max_pool(data(x) + in, w, x.size(1), y.data_ptr<float>() + out); });
    ctx->save_for_backward({x, y});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &y = saved[1], dy = as_rows(gradients[0]);
    at::Tensor dx = new_image_like(x);
    const PoolWindow w = {x.size(2) / y.size(2), x.size(3) / y.size(3), y.size(3)};
    for_window_rows(x, y.size(2), w, [&](Int in, Int out) {
      kernels().max_pool_backward(data(x) + in, data(y) + out, data(dy) + out, w, x.size(1), dx.data_ptr<float>() + in);
    });
    return {dx, {}};
  }
};

struct MeanPool : torch::autograd::Function<MeanPool> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Int height, Int width) {
    const at::Tensor x = as_rows(input);
    at::Tensor y = new_image(x.size(0), x.size(1), height, width);
    const PoolWindow w = {x.size(2) / height, x.size(3) / width, width};
    for_window_rows(x, height, w, [&](Int in, Int out) { kernels().mean_pool(data(x) + in, w, x.size(1), y.data_ptr<float>() + out); });
    ctx->saved_data["window"] = std::vector<Int>{w.height, w.width};
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor dy = as_rows(gradients[0]);
    const std::vector<Int> window = ctx->saved_data["window"].toIntVector();
    const PoolWindow w = {window[0], window[1], dy.size(3)};
    at::Tensor dx = new_image(dy.size(0), dy.size(1), dy.size(2) * w.height, dy.size(3) * w.width);
    for_window_rows(dx, dy.size(2), w, [&](Int in, Int out) {
      kernels().mean_pool_backward(data(dy) + out, w, dy.size(1), dx.data_ptr<float>() + in);
    });
    return {dx, {}, {}};
  }
};

}  // namespace

bool max_pool_applies(const MaxPool2d& pool, Int height, Int width) {
  const Size k = pool.kernel;
  return k.h == k.w && pool.stride == k && !pool.padding.any() && height % k.h == 0 && width % k.w == 0;
}
bool mean_pool_applies(const AdaptiveAvgPool2d& pool, Int height, Int width) {
  return pool.output.h > 0 && pool.output.w > 0 && height % pool.output.h == 0 && width % pool.output.w == 0;
}

at::Tensor max_pool(const at::Tensor& x, Int window) { return MaxPool::apply(x, window); }
at::Tensor mean_pool(const at::Tensor& x, Int out_height, Int out_width) { return MeanPool::apply(x, out_height, out_width); }

}  // namespace micromind::fused
