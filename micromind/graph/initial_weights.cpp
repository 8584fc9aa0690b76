#include "micromind/graph/initial_weights.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/random.h"

namespace micromind {
namespace {

constexpr std::uint64_t kWeightStream = 0x747261696e01;  // the purpose of these random numbers

std::uint64_t name_key(std::string_view name) {  // FNV-1a, 64 bits
  std::uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return hash;
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return name.ends_with(end); });
}

// 1/√fan_in for a parameter of a convolution or linear layer; fan_in is the weight's row length.
float uniform_bound(const Shape& weight) {
  return 1 / std::sqrt(static_cast<float>(weight.elements() / weight[0]));
}

}  // namespace

Weights initial_weights(const Graph& graph, std::uint64_t seed) {
  Weights weights;
  float bound = 0;
  for (const NamedParameter& p : parameters(graph)) {
    Array array(ElementType::float32, p.shape);
    const std::span<float> values = array.values<float>();
    if (std::holds_alternative<BatchNorm>(graph.nodes()[static_cast<std::size_t>(p.node)].op)) {
      std::fill(values.begin(), values.end(), ends_with_any(p.name, {".weight", ".running_var"}) ? 1.0f : 0.0f);
    } else {
      if (p.shape.rank() > 1) bound = uniform_bound(p.shape);  // a bias comes behind its weight
      Random random(seed, {kWeightStream, name_key(p.name)});
      for (float& v : values) v = random.uniform(-bound, bound);
    }
    weights.emplace(p.name, std::move(array));
  }
  return weights;
}

}  // namespace micromind
