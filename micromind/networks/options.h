// What the option structs of all families share: checks of their values, and errors that name the family.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "micromind/base/error.h"
#include "micromind/graph/tensor_type.h"

namespace micromind {

/// Throws Error "[family] name = value: expected low to high".
template <class T>
void expect_range(std::string_view family, std::string_view name, T value, T low, T high) {
  if (!(value >= low && value <= high)) fail(family, "{} = {}: expected {} to {}", name, value, low, high);
}

/// Throws Error unless `shape` is an image (C, H, W) of 1 to 4096 channels and 1 to 16384 pixels a side.
void expect_input(std::string_view family, const Shape& shape);

/// Throws Error unless every index lies in [0, count): the layers whose outputs the graph returns as well.
void expect_layers(std::string_view family, std::string_view name, const std::vector<int>& layers, int count);

inline constexpr int kMostChannels = 1 << 24;  ///< beyond any network, and weights can still be counted in 64 bits

/// Hands a network's widths to its builder, one channel count at a time. Throws Error when their number is not the
/// `expected` one or one of them is not 1 to kMostChannels.
class WidthReader {
 public:
  WidthReader(std::string_view family, std::span<const int> widths, int expected);
  int next();                                       ///< throws Error behind the last
  bool done() const { return at_ == widths_.size(); }

 private:
  std::string_view family_;
  std::span<const int> widths_;
  std::size_t at_ = 0;
};

/// Runs `build` and puts the family in front of what it throws: a shape that shrinks to nothing names its node, and
/// the hint says what to change.
template <class Build>
auto build_family(std::string_view family, const Shape& input, Build&& build) {
  try {
    return build();
  } catch (const Error& e) {
    if (e.where() == family) throw;
    throw Error(family, fmt::format("an input of {} does not fit these options: {}", to_string(input), e.message()),
                e.hint().empty() ? "use a larger input or less downsampling" : e.hint());
  }
}

}  // namespace micromind
