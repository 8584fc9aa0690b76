#include "micromind/memory/overlap.h"

#include <algorithm>
#include <array>
#include <limits>

namespace micromind {
namespace {

// One axis of a window that slides: index i of the output begins at input index max(0, i·stride − padding).
struct Axis {
  std::int64_t in = 1, out = 1, kernel = 1, stride = 1, padding = 0;

  std::int64_t first(std::int64_t i) const { return std::max<std::int64_t>(0, i * stride - padding); }
  // Output indices whose window meets the input: from low to high, none when low > high.
  std::int64_t low() const { return padding < kernel ? 0 : (padding - kernel) / stride + 1; }
  std::int64_t high() const { return std::min(out - 1, (in - 1 + padding) / stride); }
};

// Indices in low…high among which  α·first(i) − β·i  is least for any α, β ≥ 0. first() is 0 up to the index `flat`, then
// grows by the stride: convex, so the minimum is next to the bend or at the end.
struct Candidates {
  std::array<std::int64_t, 3> list{};
  int count = 0;
  Candidates(const Axis& axis, std::int64_t low, std::int64_t high) {
    if (low > high) return;
    const std::int64_t flat = std::clamp(axis.padding / axis.stride, low, high);
    for (const std::int64_t i : {flat, std::min(flat + 1, high), high})
      if (count == 0 || list[static_cast<std::size_t>(count - 1)] != i) list[static_cast<std::size_t>(count++)] = i;
  }
  const std::int64_t* begin() const { return list.data(); }
  const std::int64_t* end() const { return list.data() + count; }
};

// f(q)·in_c − (q + kPixelsAtOnce)·out_c is a sum of a function of the row and one of the column, so the minimum over a
// rectangle of pixels is at a pair of candidates. At the image's end fewer pixels follow, e(q) = pixels for the last
// kPixelsAtOnce ones: in a row of its own f grows along it, so the first of them is the strictest and stands for the others;
// where rows are narrower than that, the last rows are looked at one by one.
template <class Visit>
void for_each_term(const Axis& rows, const Axis& columns, Visit&& visit) {
  const std::int64_t pixels = rows.out * columns.out;
  const auto add = [&](std::int64_t y, std::int64_t x) {
    visit(OverlapTerm{rows.first(y) * columns.in + columns.first(x), std::min(y * columns.out + x + kPixelsAtOnce, pixels)});
  };
  const auto add_all = [&](const Candidates& ys, const Candidates& xs) {
    for (const std::int64_t y : ys)
      for (const std::int64_t x : xs) add(y, x);
  };
  const std::int64_t low = columns.low(), high = columns.high(), clipped = columns.out - kPixelsAtOnce;
  const std::int64_t tail = clipped >= 0 ? rows.out - 1 : std::max<std::int64_t>(0, rows.out - kPixelsAtOnce);
  add_all({rows, rows.low(), std::min(rows.high(), tail - 1)}, {columns, low, high});
  for (std::int64_t y = std::max(tail, rows.low()); y <= rows.high(); ++y) {
    if (clipped >= low) {
      add_all({rows, y, y}, {columns, low, std::min(high, clipped)});
    } else {
      for (std::int64_t x = low; x <= high; ++x) add(y, x);
    }
  }
}

// Calls visit with the terms of an operator that may overlap partially.
template <class Visit>
void for_each_term(const Op& op, const Shape& in, const Shape& out, Visit&& visit) {
  if (in.rank() != 3 || out.rank() != 3) return;
  // Dilated windows that begin in the padding start later than first() says; taking 0 is safe.
  const auto window = [&](Size kernel, Size stride, Size dilation, const Padding& padding) {
    for_each_term(Axis{in.height(), out.height(), std::int64_t{kernel.h - 1} * dilation.h + 1, stride.h, padding.top},
                  Axis{in.width(), out.width(), std::int64_t{kernel.w - 1} * dilation.w + 1, stride.w, padding.left}, visit);
  };
  std::visit(Overloaded{
                 [&](const Conv2d& o) { window(o.kernel, o.stride, o.dilation, o.padding); },
                 [&](const MaxPool2d& o) { window(o.kernel, o.stride, 1, o.padding); },
                 [&](const AvgPool2d& o) { window(o.kernel, o.stride, 1, o.padding); },
                 [](const auto&) {},  // safe for every operator
             },
             op);
}

}  // namespace

std::vector<OverlapTerm> overlap_terms(const Op& op, const Shape& in, const Shape& out) {
  std::vector<OverlapTerm> terms;
  for_each_term(op, in, out, [&](const OverlapTerm& t) { terms.push_back(t); });
  std::sort(terms.begin(), terms.end(), [](const OverlapTerm& a, const OverlapTerm& b) { return a.first != b.first ? a.first < b.first : a.end > b.end; });
  // The upper hull of (first, end): a larger `first` must pay with a larger `end`, and at a falling rate.
  std::vector<OverlapTerm> hull;
  for (const OverlapTerm& t : terms) {
    if (!hull.empty() && t.end <= hull.back().end) continue;
    const auto below = [&] {
      const OverlapTerm &a = hull[hull.size() - 2], &b = hull.back();
      return (b.end - a.end) * (t.first - a.first) <= (t.end - a.end) * (b.first - a.first);
    };
    while (hull.size() >= 2 && below()) hull.pop_back();
    hull.push_back(t);
  }
  return hull;
}

std::optional<std::int64_t> overlap(const Op& op, const Shape& in, const Shape& out) {
  constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  std::int64_t most = none;
  const std::int64_t in_channels = in.channels(), out_channels = out.channels();
  for_each_term(op, in, out, [&](const OverlapTerm& t) { most = std::min(most, t.first * in_channels - t.end * out_channels); });
  if (most == none) return std::nullopt;
  return most;
}

}  // namespace micromind
