#include "micromind/train/fused/weights.h"

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {
namespace {

// All parts to the first.
float* add_parts(at::Tensor& sums, Int size) {
  const Int parts = sums.size(0);
  float* const sum = sums.data_ptr<float>();
  for_parts(size, parts, [&](Int, Int first, Int last) {
    for (Int p = 1; p < parts; ++p)
      for (Int i = first; i < last; ++i) sum[i] += sum[p * size + i];
  });
  return sum;
}

}  // namespace

at::Tensor turned(const at::Tensor& weight) {
  const at::Tensor matrix = weight.contiguous();
  const Int rows = matrix.size(0), columns = matrix.numel() / rows;
  at::Tensor result = at::empty({columns, rows}, at::kFloat);
  const float* const in = data(matrix);
  float* const out = result.data_ptr<float>();
  for (Int c = 0; c < columns; ++c)
    for (Int r = 0; r < rows; ++r) out[c * rows + r] = in[r * columns + c];
  return result;
}

at::Tensor add_up_turned(at::Tensor& sums, const at::Tensor& weight, const float* scale, const float* more, const float* spread) {
  const Int rows = weight.size(0), columns = weight.numel() / rows;
  const float* const sum = add_parts(sums, rows * columns);
  at::Tensor result = at::empty(weight.sizes(), at::kFloat);
  float* const out = result.data_ptr<float>();
  for (Int r = 0; r < rows; ++r)
    for (Int c = 0; c < columns; ++c) {
      const float value = sum[c * rows + r];
      out[r * columns + c] = (scale ? scale[r] : 1) * value + (more ? more[r] * spread[r * columns + c] : 0);
    }
  return result;
}

at::Tensor add_up(at::Tensor& sums, const at::Tensor& weight) {
  add_parts(sums, weight.numel());
  return sums[0].view(weight.sizes());
}

}  // namespace micromind::fused
