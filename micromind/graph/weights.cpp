#include "micromind/graph/weights.h"

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {

Array::Array(ElementType element, Shape shape)
    : element_(element), shape_(shape), words_(static_cast<std::size_t>((shape.elements() * byte_size(element) + 3) / 4)) {}

void Array::check(ElementType wanted) const {
  if (element_ != wanted) fail("weights", "an array holds {}, {} was asked for", to_string(element_), to_string(wanted));
}

const Array& find(const Weights& weights, const std::string& name) {
  if (const auto it = weights.find(name); it != weights.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, array] : weights) names.push_back(known);
  const std::string near = nearest_name(name, names);
  fail_with_hint("weights", near.empty() ? "" : "the nearest name is '" + near + "'", "no parameter '{}' among {}", name,
                 names.size());
}

}  // namespace micromind
