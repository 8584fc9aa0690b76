// Float images as the kernels read them: [N, C, H, W] tensors whose memory is rows of C channels.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "micromind/train/fused/kernels.h"

namespace micromind::fused {

inline at::Tensor as_rows(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

inline at::Tensor new_image(Int n, Int c, Int h, Int w) {
  return at::empty({n, c, h, w}, at::TensorOptions().dtype(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
}
inline at::Tensor new_image_like(const at::Tensor& x) { return new_image(x.size(0), x.size(1), x.size(2), x.size(3)); }

inline const float* data(const at::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }
/// For torch::autograd::Function::apply, which takes no undefined tensors.
using Maybe = c10::optional<at::Tensor>;
inline Maybe maybe(const at::Tensor& t) { return t.defined() ? Maybe(t) : c10::nullopt; }
inline at::Tensor value_or_none(const Maybe& t) { return t.has_value() ? *t : at::Tensor(); }

inline float* data(at::Tensor& t) { return t.data_ptr<float>(); }

}  // namespace micromind::fused
