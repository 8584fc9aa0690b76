// How our shapes, axes and explicit padding stand in a .tflite file: batch first, channels last, SAME or VALID.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "micromind/formats/tflite_file.h"
#include "micromind/graph/tensor_type.h"

namespace micromind::tflite {

/// (C) → [1, C]; (C, T) → [1, T, C]; (C, H, W) → [1, H, W, C].
std::vector<std::int32_t> file_shape(const Shape& shape);

/// The inverse; nothing when the batch is not 1, the rank not 2 to 4, or an extent is 0.
std::optional<Shape> graph_shape(const std::vector<std::int32_t>& shape);

/// Axis of a (C, …) shape of that rank ↔ axis of the file's tensor, which has one dimension more.
inline std::int32_t file_axis(std::int32_t axis, int rank) { return axis == 0 ? rank : axis; }
inline std::int32_t graph_axis(std::int32_t axis, int rank) { return axis == rank ? 0 : axis; }

/// Rows before and after under SAME: the output has ⌈in/stride⌉ rows, an odd row of padding goes after.
std::pair<std::int32_t, std::int32_t> same_padding(std::int32_t in, std::int32_t kernel, std::int32_t stride, std::int32_t dilation);

/// A window that slides over an image.
struct Window {
  Size kernel, stride, dilation;
};
micromind::Padding same_padding(const Shape& image, const Window& window);

/// SAME or VALID where it computes what the explicit padding does, padding behind the last window not counting.
std::optional<Padding> file_padding(const Shape& in, const Shape& out, const Window& window, const micromind::Padding& padding);

}  // namespace micromind::tflite
