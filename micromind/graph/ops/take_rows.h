#pragma once

#include "micromind/graph/ops/attributes.h"

namespace micromind {

/// The rows first … first + count − 1 of an image: (C, H, W) → (C, count, W). TakeRows lie one behind another in the runtime's
/// memory (H, W, C), so this is a view: nothing is copied and nothing runs. Made by split_rows() (memory/patches.h).
struct TakeRows {
  static constexpr std::string_view kName = "take_rows";
  std::int32_t first = 0, count = 1;

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("first", self.first);
    visit("count", self.count);
  }
  bool operator==(const TakeRows&) const = default;
  Shapes infer(ShapeSpan in) const {
    expect_inputs(kName, in, 1);
    expect_image(kName, in[0]);
    if (first < 0 || count < 1 || first > in[0][1] - count)
      bad_shape(kName, "rows " + std::to_string(first) + " to " + std::to_string(std::int64_t{first} + count - 1) + " are not within " + to_string(in[0]));
    return {{in[0][0], count, in[0][2]}};
  }
};

}  // namespace micromind
