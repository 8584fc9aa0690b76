#include "micromind/graph/tensor_type.h"

#include "micromind/base/error.h"

namespace micromind {

std::string_view to_string(ElementType type) {
  switch (type) {
    case ElementType::float32: return "float32";
    case ElementType::int8: return "int8";
    case ElementType::int32: return "int32";
  }
  return "?";
}

ElementType element_type_from(std::string_view name) {
  for (const ElementType type : {ElementType::float32, ElementType::int8, ElementType::int32})
    if (to_string(type) == name) return type;
  fail("graph", "unknown element type '{}'; expected float32, int8 or int32", name);
}

std::string to_string(const Shape& shape) { return fmt::format("{}", fmt::join(shape, "×")); }

}  // namespace micromind
