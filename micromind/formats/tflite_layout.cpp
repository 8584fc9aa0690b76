#include "micromind/formats/tflite_layout.h"

#include <algorithm>

namespace micromind::tflite {

std::vector<std::int32_t> file_shape(const Shape& shape) {
  std::vector<std::int32_t> out = {1};
  for (int i = 1; i < shape.rank(); ++i) out.push_back(shape[i]);
  out.push_back(shape[0]);
  return out;
}

std::optional<Shape> graph_shape(const std::vector<std::int32_t>& shape) {
  if (shape.size() < 2 || shape.size() > 4 || shape[0] != 1) return {};
  if (std::any_of(shape.begin(), shape.end(), [](std::int32_t d) { return d < 1; })) return {};
  Shape out = {shape.back()};
  for (std::size_t i = 1; i + 1 < shape.size(); ++i) out.append(shape[i]);
  return out;
}

std::pair<std::int32_t, std::int32_t> same_padding(std::int32_t in, std::int32_t kernel, std::int32_t stride, std::int32_t dilation) {
  const std::int32_t out = (in + stride - 1) / stride, reach = dilation * (kernel - 1) + 1;
  const std::int32_t total = std::max(0, (out - 1) * stride + reach - in);
  return {total / 2, total - total / 2};
}

micromind::Padding same_padding(const Shape& image, const Window& window) {
  const auto [top, bottom] = same_padding(image.height(), window.kernel.h, window.stride.h, window.dilation.h);
  const auto [left, right] = same_padding(image.width(), window.kernel.w, window.stride.w, window.dilation.w);
  return {top, bottom, left, right};
}

std::optional<Padding> file_padding(const Shape& in, const Shape& out, const Window& window, const micromind::Padding& padding) {
  const micromind::Padding same = same_padding(in, window);
  const auto extent = [](std::int32_t n, std::int32_t stride) { return (n + stride - 1) / stride; };
  const auto valid = [](std::int32_t n, std::int32_t kernel, std::int32_t stride, std::int32_t dilation) {
    return (n - dilation * (kernel - 1) - 1 + stride) / stride;
  };
  // VALID first: without padding both often hold, and it is what the graph says.
  if (padding.top == 0 && padding.left == 0 && out.height() == valid(in.height(), window.kernel.h, window.stride.h, window.dilation.h) &&
      out.width() == valid(in.width(), window.kernel.w, window.stride.w, window.dilation.w))
    return Padding_VALID;
  if (padding.top == same.top && padding.left == same.left && out.height() == extent(in.height(), window.stride.h) &&
      out.width() == extent(in.width(), window.stride.w))
    return Padding_SAME;
  return {};
}

}  // namespace micromind::tflite
