// What flows along an edge of a graph: shape, element type, optional quantisation.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace micromind {

enum class ElementType : std::uint8_t { float32, int8, int32 };

std::string_view to_string(ElementType type);
ElementType element_type_from(std::string_view name);  ///< throws Error on an unknown name
constexpr int byte_size(ElementType type) { return type == ElementType::int8 ? 1 : 4; }

/// Shape of rank 1 to 4, without the batch: images are (C, H, W), sequences (C, T), vectors (C).
class Shape {
 public:
  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<std::int32_t> dims) {
    for (const std::int32_t d : dims)
      if (rank_ < 4) dims_[static_cast<std::size_t>(rank_++)] = d;
  }
  constexpr int rank() const { return rank_; }
  constexpr std::int32_t operator[](int i) const { return dims_[static_cast<std::size_t>(i)]; }
  constexpr void set(int i, std::int32_t d) { dims_[static_cast<std::size_t>(i)] = d; }
  constexpr void append(std::int32_t d) { dims_[static_cast<std::size_t>(rank_++)] = d; }
  constexpr std::int64_t elements() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[static_cast<std::size_t>(i)];
    return n;
  }
  // Channels, height and width as an image; vectors are 1×1 images and sequences have height 1.
  constexpr std::int32_t channels() const { return dims_[0]; }
  constexpr std::int32_t height() const { return rank_ >= 3 ? dims_[1] : 1; }
  constexpr std::int32_t width() const { return rank_ >= 3 ? dims_[2] : rank_ == 2 ? dims_[1] : 1; }
  constexpr bool operator==(const Shape&) const = default;
  constexpr const std::int32_t* begin() const { return dims_.data(); }
  constexpr const std::int32_t* end() const { return dims_.data() + rank_; }

 private:
  std::array<std::int32_t, 4> dims_{};
  std::int32_t rank_ = 0;
};

std::string to_string(const Shape& shape);  ///< "3×32×32"

/// real = scale · (integer − zero_point), TFLite's 8-bit specification.
struct Quantization {
  float scale = 1;
  std::int32_t zero_point = 0;
  bool operator==(const Quantization&) const = default;
};

struct TensorType {
  Shape shape;
  ElementType element = ElementType::float32;
  std::optional<Quantization> quantization;
  bool operator==(const TensorType&) const = default;
};

}  // namespace micromind
