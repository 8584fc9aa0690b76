// Between Array, the library's dense array, and libtorch's tensors.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>

#include "micromind/graph/weights.h"

namespace micromind {

inline std::vector<std::int64_t> sizes_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

/// A view of a float array; it must outlive the tensor.
inline at::Tensor view_of(const Array& array) {
  return at::from_blob(const_cast<float*>(array.values<float>().data()), sizes_of(array.shape()), at::kFloat);
}

/// A copy of a float tensor of rank 1 to 4, in row-major order.
inline Array to_array(const at::Tensor& tensor) {
  const at::Tensor t = tensor.detach().to(at::kCPU).contiguous();
  Shape shape;
  for (const std::int64_t d : t.sizes()) shape.append(static_cast<std::int32_t>(d));
  Array array(ElementType::float32, shape);
  std::copy_n(t.data_ptr<float>(), t.numel(), array.values<float>().begin());
  return array;
}

}  // namespace micromind
