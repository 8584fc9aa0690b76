// Convex polygons in the plane of two knobs: the sets of knob values that the search splits.
#pragma once

#include <array>
#include <cstddef>

namespace micromind {

struct Point {
  double s = 0, t = 0;
};

/// s·x.s + t·x.t: what a width is rounded from.
struct LinearForm {
  double s = 0, t = 0;
  double operator()(const Point& x) const { return s * x.s + t * x.t; }
};

/// A convex polygon, its corners in order. A cut adds one corner at most; in practice cells have three to eight. Beyond
/// kMost a corner is left out, and with it a sliver.
class Polygon {
 public:
  static constexpr std::size_t kMost = 24;

  /// { low ≤ s ≤ high, t between low_ratio·s and high_ratio·s }
  static Polygon trapezoid(double low, double high, double low_ratio, double high_ratio);

  std::size_t size() const { return size_; }
  bool empty() const { return size_ < 3; }
  const Point* begin() const { return corners_.data(); }
  const Point* end() const { return corners_.data() + size_; }

  /// The part where form ≥ at (or ≤ at, with `below`).
  Polygon cut(const LinearForm& form, double at, bool below) const;
  Point centre() const;  ///< mean of the corners: inside

  struct Range {
    double low, high;
  };
  Range range(const LinearForm& form) const;

 private:
  void add(Point p);
  std::size_t size_ = 0;
  std::array<Point, kMost> corners_;
};

}  // namespace micromind
