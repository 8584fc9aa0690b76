// Parameters by name: "blocks.3.expand.conv.weight". A Graph holds structure, Weights hold numbers, so that one
// graph serves several sets of weights (best, last, averaged, teacher).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "micromind/graph/tensor_type.h"

namespace micromind {

/// A dense array in row-major order. Float parameters are in PyTorch's layouts (conv OIHW, linear OI); the int8
/// ones of a quantised model are in the runtime's (conv O·KH·KW·I, depthwise KH·KW·C, linear O·I).
class Array {
 public:
  Array() = default;
  Array(ElementType element, Shape shape);

  ElementType element() const { return element_; }
  const Shape& shape() const { return shape_; }
  std::int64_t elements() const { return shape_.elements(); }

  /// The values. T must be the element type's: float, int8_t or int32_t; throws Error otherwise.
  template <class T>
  std::span<T> values();
  template <class T>
  std::span<const T> values() const;

  std::vector<float> scales;  ///< int8 weights: one, or one per output channel
  bool operator==(const Array&) const = default;

 private:
  void check(ElementType wanted) const;
  ElementType element_ = ElementType::float32;
  Shape shape_{0};
  std::vector<std::uint32_t> words_;  // 4-byte aligned storage
};

using Weights = std::map<std::string, Array>;

/// The named array. Throws Error that names the nearest known name.
const Array& find(const Weights& weights, const std::string& name);

template <class T>
constexpr ElementType element_type_of() {
  if constexpr (std::is_same_v<T, float>) return ElementType::float32;
  else if constexpr (std::is_same_v<T, std::int8_t>) return ElementType::int8;
  else {
    static_assert(std::is_same_v<T, std::int32_t>);
    return ElementType::int32;
  }
}

template <class T>
std::span<T> Array::values() {
  check(element_type_of<T>());
  return {reinterpret_cast<T*>(words_.data()), static_cast<std::size_t>(elements())};
}
template <class T>
std::span<const T> Array::values() const {
  check(element_type_of<T>());
  return {reinterpret_cast<const T*>(words_.data()), static_cast<std::size_t>(elements())};
}

}  // namespace micromind
