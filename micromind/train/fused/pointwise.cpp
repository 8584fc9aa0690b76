#include "micromind/train/fused/pointwise.h"

#include <torch/csrc/autograd/custom_function.h>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"
#include "micromind/train/fused/weights.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr Int kLeast = 256;  // pixels of a part: each part has its own sums
constexpr Int kTile = 128;  // pixels whose rows stay in the second cache while a product walks over their channels

struct Pointwise : torch::autograd::Function<Pointwise> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, const Maybe& channel_bias) {
    const at::Tensor bias = value_or_none(channel_bias);
    const at::Tensor x = as_rows(input);
    const Int out = weight.size(0), in = weight.size(1);
    const at::Tensor columns = turned(weight);
    at::Tensor y = new_image(x.size(0), out, x.size(2), x.size(3));
    for_parts(x.numel() / in, in * out / 4, [&](Int, Int first, Int last) {
      kernels().multiply(last - first, out, in, data(x) + first * in, in, 1, data(columns), out, y.data_ptr<float>() + first * out, out, false);
    });
    if (bias.defined()) y.add_(bias.view({1, out, 1, 1}));
    ctx->save_for_backward({x, weight});
    ctx->saved_data["bias"] = bias.defined();
    ctx->saved_data["input"] = input.requires_grad();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], dy = as_rows(gradients[0]);
    const Int out = weight.size(0), in = weight.size(1);
    const bool wants_input = ctx->saved_data["input"].toBool();
    const at::Tensor rows = weight.contiguous();
    at::Tensor dx = wants_input ? new_image_like(x) : at::Tensor();
    // dw[o, i] = Σ dy[p, o]·x[p, i] over pixels p; its columns are the channels that fill whole vectors better.
    const bool turn = better_turned(out, in);
    const Int a = turn ? in : out, b = turn ? out : in, pixels = x.numel() / in;
    const float *const left = data(turn ? x : dy), *const right = data(turn ? dy : x);
    at::Tensor sums = at::empty({part_count(pixels, kLeast), a, b}, at::kFloat);
    for_parts(pixels, in * out / 4, [&](Int part, Int first, Int last) {
      for (Int p = first; p < last; p += kTile) {
        const Int count = std::min(kTile, last - p);
        kernels().multiply(a, b, count, left + p * a, 1, a, right + p * b, b, sums.data_ptr<float>() + part * a * b, b, p > first);
        if (wants_input)
          kernels().multiply(count, in, out, data(dy) + p * out, out, 1, data(rows), in, dx.data_ptr<float>() + p * in, in, false);
      }
    }, kLeast);
    return {dx, turn ? add_up_turned(sums, weight) : add_up(sums, weight), ctx->saved_data["bias"].toBool() ? dy.sum({0, 2, 3}) : at::Tensor()};
  }
};

}  // namespace

bool pointwise_applies(const Conv2d& conv) {
  return conv.kernel == Size(1) && conv.stride == Size(1) && conv.groups == 1 && !conv.padding.any() && conv.activation == Function::none;
}

at::Tensor pointwise(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) { return Pointwise::apply(x, weight, maybe(bias)); }

}  // namespace micromind::fused
