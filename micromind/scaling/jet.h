// Forward differentiation to second order in three variables: a number with its gradient and its Hessian,
// exact.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

namespace micromind {

struct Jet {
  double value = 0;
  std::array<double, 3> d{};   ///< ∂
  std::array<double, 6> dd{};  ///< ∂²: 00, 10, 11, 20, 21, 22

  Jet() = default;
  explicit Jet(double v) : value(v) {}
  static Jet variable(double v, std::size_t index) {
    Jet j(v);
    j.d[index] = 1;
    return j;
  }
  explicit operator double() const { return value; }

  /// f(*this), where f has these values and derivatives here.
  Jet through(double f, double df, double ddf) const {
    Jet y(f);
    for (std::size_t i = 0; i < 3; ++i) y.d[i] = df * d[i];
    for (std::size_t i = 0, k = 0; i < 3; ++i)
      for (std::size_t j = 0; j <= i; ++j, ++k) y.dd[k] = df * dd[k] + ddf * d[i] * d[j];
    return y;
  }
};

inline Jet operator+(Jet a, const Jet& b) {
  a.value += b.value;
  for (std::size_t i = 0; i < 3; ++i) a.d[i] += b.d[i];
  for (std::size_t k = 0; k < 6; ++k) a.dd[k] += b.dd[k];
  return a;
}

inline Jet operator*(const Jet& a, const Jet& b) {
  Jet y(a.value * b.value);
  for (std::size_t i = 0; i < 3; ++i) y.d[i] = a.value * b.d[i] + b.value * a.d[i];
  for (std::size_t i = 0, k = 0; i < 3; ++i)
    for (std::size_t j = 0; j <= i; ++j, ++k)
      y.dd[k] = a.value * b.dd[k] + b.value * a.dd[k] + a.d[i] * b.d[j] + a.d[j] * b.d[i];
  return y;
}

inline Jet pow(const Jet& x, double p) {
  const double f = std::pow(x.value, p - 2);
  return x.through(f * x.value * x.value, p * f * x.value, p * (p - 1) * f);
}
inline Jet exp(const Jet& x) {
  const double f = std::exp(x.value);
  return x.through(f, f, f);
}
inline Jet log(const Jet& x) {
  return x.through(std::log(x.value), 1 / x.value, -1 / (x.value * x.value));
}

}  // namespace micromind
