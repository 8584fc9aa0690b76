#include "micromind/graph/ops/attributes.h"

#include <array>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

constexpr std::array<std::string_view, 7> kFunctions = {"none", "relu", "relu6", "hard_swish", "silu", "sigmoid", "hard_sigmoid"};

}  // namespace

std::string_view to_string(Function function) { return kFunctions[static_cast<std::size_t>(function)]; }

Function function_from(std::string_view name) {
  for (std::size_t i = 0; i < kFunctions.size(); ++i)
    if (kFunctions[i] == name) return static_cast<Function>(i);
  const std::vector<std::string> known(kFunctions.begin(), kFunctions.end());
  fail_with_hint("graph", name_hint(name, known), "unknown function '{}'", name);
}

void bad_shape(std::string_view op, const std::string& what) { fail(op, "{}", what); }

std::int32_t window_extent(std::string_view op, std::int32_t in, std::int32_t kernel, std::int32_t stride, std::int32_t dilation,
                           std::int32_t pad_before, std::int32_t pad_after) {
  if (kernel < 1 || stride < 1 || dilation < 1 || pad_before < 0 || pad_after < 0)
    fail(op, "kernel {}, stride {}, dilation {} must be at least 1 and padding {}, {} at least 0", kernel, stride, dilation,
         pad_before, pad_after);
  const std::int32_t reach = dilation * (kernel - 1) + 1;
  const std::int32_t room = in + pad_before + pad_after - reach;
  if (room < 0) fail(op, "a window of {} does not fit an extent of {} with padding {} and {}", reach, in, pad_before, pad_after);
  return room / stride + 1;
}

Shapes infer_pool(std::string_view op, ShapeSpan in, Size kernel, Size stride, const Padding& padding) {
  expect_inputs(op, in, 1);
  expect_image(op, in[0]);
  if (padding.top >= kernel.h || padding.bottom >= kernel.h || padding.left >= kernel.w || padding.right >= kernel.w)
    fail(op, "padding must be smaller than the kernel {}×{}", kernel.h, kernel.w);
  return {{in[0][0], window_extent(op, in[0][1], kernel.h, stride.h, 1, padding.top, padding.bottom),
           window_extent(op, in[0][2], kernel.w, stride.w, 1, padding.left, padding.right)}};
}

void expect_inputs(std::string_view op, ShapeSpan in, std::size_t count) {
  if (in.size() != count) fail(op, "expected {} input{}, found {}", count, count == 1 ? "" : "s", in.size());
}

void expect_image(std::string_view op, const Shape& shape) {
  if (shape.rank() != 3) fail(op, "expected an image (C, H, W), found {}", to_string(shape));
}

}  // namespace micromind
