#include "micromind/train/fused/weights.h"

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"

namespace micromind::fused {

void turn_to(const float* matrix, Int rows, Int columns, float* result) {
  typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
  const Int whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  constexpr Int kTile = 16;  // a line of the cache is read and written as a whole
  for (Int r0 = 0; r0 < whole_rows; r0 += kTile)
    for (Int c0 = 0; c0 < whole_columns; c0 += kTile)
      for (Int r = r0; r < std::min(whole_rows, r0 + kTile); r += 4)
        for (Int c = c0; c < std::min(whole_columns, c0 + kTile); c += 4) {
          const auto in = [&](Int i) { return *reinterpret_cast<const Four*>(matrix + (r + i) * columns + c); };
          const auto out = [&](Int i) -> Four& { return *reinterpret_cast<Four*>(result + (c + i) * rows + r); };
          const Four a = in(0), b = in(1), d = in(2), e = in(3);
          const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), de = __builtin_shufflevector(d, e, 0, 4, 1, 5);
          const Four more_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7), more_de = __builtin_shufflevector(d, e, 2, 6, 3, 7);
          out(0) = __builtin_shufflevector(ab, de, 0, 1, 4, 5), out(1) = __builtin_shufflevector(ab, de, 2, 3, 6, 7);
          out(2) = __builtin_shufflevector(more_ab, more_de, 0, 1, 4, 5), out(3) = __builtin_shufflevector(more_ab, more_de, 2, 3, 6, 7);
        }
  for (Int r = 0; r < rows; ++r)
    for (Int c = r < whole_rows ? whole_columns : 0; c < columns; ++c) result[c * rows + r] = matrix[r * columns + c];
}

at::Tensor turned(const at::Tensor& weight) {
  const at::Tensor matrix = weight.contiguous();
  const Int rows = matrix.size(0), columns = matrix.numel() / rows;
  at::Tensor result = at::empty({columns, rows}, at::kFloat);
  turn_to(data(matrix), rows, columns, result.data_ptr<float>());
  return result;
}

float* add_parts(at::Tensor& sums) {
  const Int parts = sums.size(0), size = sums.numel() / parts;
  float* const sum = sums.data_ptr<float>();
  for_parts(size, parts, [&](Int, Int first, Int last) {
    for (Int p = 1; p < parts; ++p)
      for (Int i = first; i < last; ++i) sum[i] += sum[p * size + i];
  });
  return sum;
}

at::Tensor add_up_turned(at::Tensor& sums, const at::Tensor& weight, const float* scale, const float* more, const float* spread) {
  const Int rows = weight.size(0), columns = weight.numel() / rows;
  const float* const sum = add_parts(sums);
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
  add_parts(sums);
  return sums[0].view(weight.sizes());
}

}  // namespace micromind::fused
