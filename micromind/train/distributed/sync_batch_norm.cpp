#include "micromind/train/distributed/sync_batch_norm.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "micromind/base/error.h"
#include "micromind/train/distributed/ranks.h"

namespace micromind {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Over all but the channels.
at::Tensor channel_sums(const at::Tensor& x) {
  std::vector<std::int64_t> others = {0};
  for (std::int64_t d = 2; d < x.dim(); ++d) others.push_back(d);
  return x.sum(others, /*keepdim=*/false, at::kDouble);
}

at::Tensor along(const at::Tensor& channels, const at::Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = channels.numel();
  return channels.to(x.scalar_type()).view(shape);
}

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& running_mean, const at::Tensor& running_var, Ranks* ranks, const BatchNorm& options) {
    const std::int64_t channels = x.size(1);
    const at::Tensor all = at::cat({channel_sums(x), channel_sums(x.to(at::kDouble).square()),
                                    at::full({1}, static_cast<double>(x.numel() / channels), x.options().dtype(at::kDouble))});
    ranks->sum(all);
    const double count = all[2 * channels].item<double>();
    if (count < 2) fail_with_hint("batch_norm", "use a larger batch", "one value a channel has no variance to train with");
    const at::Tensor mean = all.narrow(0, 0, channels).div(count);
    const at::Tensor variance = all.narrow(0, channels, channels).div(count).sub(mean.square()).clamp_min(0);
    const at::Tensor scale = variance.add(options.eps).rsqrt();
    running_mean.mul_(1 - options.momentum).add_(mean.to(running_mean.scalar_type()), options.momentum);
    running_var.mul_(1 - options.momentum).add_(variance.mul(count / (count - 1)).to(running_var.scalar_type()), options.momentum);
    const at::Tensor normed = x.sub(along(mean, x)).mul_(along(scale, x));
    ctx->save_for_backward({normed, weight, scale});
    ctx->saved_data["ranks"] = reinterpret_cast<std::int64_t>(ranks);
    ctx->saved_data["count"] = count;
    return normed.mul(along(weight, x)).add_(along(bias, x));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &normed = saved[0], &weight = saved[1], &scale = saved[2], &dy = gradients[0];
    auto* const ranks = reinterpret_cast<Ranks*>(ctx->saved_data["ranks"].toInt());
    const double count = ctx->saved_data["count"].toDouble();
    const std::int64_t channels = weight.numel();
    const at::Tensor of_bias = channel_sums(dy), of_weight = channel_sums(dy.mul(normed));
    const at::Tensor all = at::cat({of_bias, of_weight});
    ranks->sum(all);
    all.div_(count);
    const at::Tensor dx = dy.sub(along(all.narrow(0, 0, channels), dy)).sub_(normed.mul(along(all.narrow(0, channels, channels), dy)));
    return {dx.mul_(along(weight.to(at::kDouble).mul(scale), dy)), of_weight.to(weight.scalar_type()), of_bias.to(weight.scalar_type()),
            {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor sync_batch_norm(Ranks& ranks, const BatchNorm& options, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& running_mean, const at::Tensor& running_var) {
  return SyncBatchNorm::apply(x, weight, bias, running_mean, running_var, &ranks, options);
}

}  // namespace micromind
