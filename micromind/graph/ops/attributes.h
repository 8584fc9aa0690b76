// The types that operators' attributes are made of. Each operator lists its attributes once, in
// `attributes(self, visit)`; JSON, tables and code walk that list.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "micromind/graph/tensor_type.h"

namespace micromind {

/// Height and width; one number means both.
struct Size {
  std::int32_t h = 1, w = 1;
  constexpr Size() = default;
  constexpr Size(std::int32_t both) : h(both), w(both) {}  // NOLINT: `.kernel = 3` is the idiom
  constexpr Size(std::int32_t height, std::int32_t width) : h(height), w(width) {}
  constexpr bool operator==(const Size&) const = default;
};

/// Explicit padding; one number means every side.
struct Padding {
  std::int32_t top = 0, bottom = 0, left = 0, right = 0;
  constexpr Padding() = default;
  constexpr Padding(std::int32_t all) : top(all), bottom(all), left(all), right(all) {}  // NOLINT
  constexpr Padding(std::int32_t t, std::int32_t b, std::int32_t l, std::int32_t r) : top(t), bottom(b), left(l), right(r) {}
  constexpr bool operator==(const Padding&) const = default;
  constexpr bool any() const { return top != 0 || bottom != 0 || left != 0 || right != 0; }
};

/// Element-wise functions. relu6 = min(max(x,0),6); hard_sigmoid = relu6(x+3)/6; hard_swish = x·hard_sigmoid(x);
/// silu = x·sigmoid(x).
enum class Function : std::uint8_t { none, relu, relu6, hard_swish, silu, sigmoid, hard_sigmoid };

std::string_view to_string(Function function);
Function function_from(std::string_view name);  ///< throws Error on an unknown name

// JSON forms: a shape is [C, H, W], a size n or [h, w], padding [top, bottom, left, right], a function its name.
void to_json(nlohmann::json& j, const Shape& s);
void from_json(const nlohmann::json& j, Shape& s);
void to_json(nlohmann::json& j, const Size& s);
void from_json(const nlohmann::json& j, Size& s);
void to_json(nlohmann::json& j, const Padding& p);
void from_json(const nlohmann::json& j, Padding& p);
void to_json(nlohmann::json& j, Function f);
void from_json(const nlohmann::json& j, Function& f);

/// A parameter of an operator: "weight", "running_mean", …
struct ParameterSpec {
  std::string_view suffix;
  Shape shape;
  bool trainable = true;  ///< false: a running statistic
};

using Shapes = std::vector<Shape>;
using ShapeSpan = std::span<const Shape>;

/// Thrown text of shape errors: infer() fails with this and Graph::add puts the node's name in front.
[[noreturn]] void bad_shape(std::string_view op, const std::string& what);

/// Output extent of a window (convolution, pooling) along one dimension: floor((in + pads − reach)/stride) + 1.
std::int32_t window_extent(std::string_view op, std::int32_t in, std::int32_t kernel, std::int32_t stride, std::int32_t dilation,
                           std::int32_t pad_before, std::int32_t pad_after);

/// Output shape of a pooling window; a window may not lie wholly in the padding.
Shapes infer_pool(std::string_view op, ShapeSpan in, Size kernel, Size stride, const Padding& padding);

void expect_inputs(std::string_view op, ShapeSpan in, std::size_t count);
void expect_image(std::string_view op, const Shape& shape);

}  // namespace micromind
