#include "micromind/deploy/model_hash.h"

#include <bit>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

namespace micromind {
namespace {

struct Fnv1a {
  std::uint64_t hash = 0xCBF29CE484222325u;
  void add(std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001B3u; }
  void add(std::string_view text) {
    for (const char c : text) add(static_cast<std::uint8_t>(c));
    add(std::uint8_t{0});
  }
  void add(std::uint32_t word) {
    for (int i = 0; i < 4; ++i) add(static_cast<std::uint8_t>(word >> 8 * i));
  }
  template <class T>
  void add_values(std::span<const T> values) {
    for (const T value : values) {
      if constexpr (sizeof(T) == 1) add(static_cast<std::uint8_t>(value));
      else add(std::bit_cast<std::uint32_t>(value));
    }
  }
};

}  // namespace

std::uint64_t model_hash(const Model& model) {
  Fnv1a h;
  h.add(std::string_view(to_json(model.graph).dump()));
  for (const auto& [name, array] : model.weights) {
    h.add(std::string_view(name));
    for (const std::int32_t extent : array.shape()) h.add(static_cast<std::uint32_t>(extent));
    h.add_values(std::span<const float>(array.scales));
    switch (array.element()) {
      case ElementType::int8: h.add_values(array.values<std::int8_t>()); break;
      case ElementType::int32: h.add_values(array.values<std::int32_t>()); break;
      case ElementType::float32: h.add_values(array.values<float>()); break;
    }
  }
  return h.hash;
}

}  // namespace micromind
