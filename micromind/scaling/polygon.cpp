#include "micromind/scaling/polygon.h"

#include <algorithm>
#include <cmath>

namespace micromind {

Polygon Polygon::trapezoid(double low, double high, double low_ratio, double high_ratio) {
  Polygon p;
  p.add({low, low * low_ratio});
  p.add({high, high * low_ratio});
  p.add({high, high * high_ratio});
  p.add({low, low * high_ratio});
  return p;
}

void Polygon::add(Point p) {
  if (size_ > 0) {
    const Point& last = corners_[size_ - 1];
    if (last.s == p.s && last.t == p.t) return;
  }
  if (size_ < kMost) corners_[size_++] = p;
}

Polygon Polygon::cut(const LinearForm& form, double at, bool below) const {
  Polygon part;
  const double sign = below ? -1 : 1;
  for (std::size_t i = 0; i < size_; ++i) {
    const Point& a = corners_[i];
    const Point& b = corners_[i + 1 == size_ ? 0 : i + 1];
    const double da = sign * (form(a) - at), db = sign * (form(b) - at);
    if (da >= 0) part.add(a);
    if ((da > 0 && db < 0) || (da < 0 && db > 0)) {
      const double share = da / (da - db);
      part.add({a.s + share * (b.s - a.s), a.t + share * (b.t - a.t)});
    }
  }
  return part;
}

Point Polygon::centre() const {
  Point sum;
  for (const Point& p : *this) sum = {sum.s + p.s, sum.t + p.t};
  return {sum.s / static_cast<double>(size_), sum.t / static_cast<double>(size_)};
}

Polygon::Range Polygon::range(const LinearForm& form) const {
  Range r{form(corners_[0]), form(corners_[0])};
  for (std::size_t i = 1; i < size_; ++i) {
    const double value = form(corners_[i]);
    r.low = std::min(r.low, value);
    r.high = std::max(r.high, value);
  }
  return r;
}

}  // namespace micromind
