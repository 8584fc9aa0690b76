// The inner loops of the optimisers over a stretch of one parameter; optimizer.h has the formulas. Adam's lies with the
// fused operators. All work in float, as torch does; sums of squares are in double.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace micromind::optimizer_loops {

/// Σx², added in a fixed order that vectorises.
inline double sum_of_squares(const float* x, std::int64_t n) {
  std::array<double, 8> lanes{};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::int64_t l = 0; l < 8; ++l) {
      const double value = x[i + l];
      lanes[static_cast<std::size_t>(l)] += value * value;
    }
  for (; i < n; ++i) lanes[0] += double{x[i]} * x[i];
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

/// out = clip(factor·g, ±limit); limit 0: any.
inline void scale(const float* g, std::int64_t n, float factor, float limit, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = factor * g[i];
  if (limit > 0)
    for (std::int64_t i = 0; i < n; ++i) {
      const float x = out[i];
      out[i] = x > limit ? limit : x < -limit ? -limit : x;
    }
}

inline void sgd(std::int64_t n, const float* g, float* p, float rate, float decay) {
  for (std::int64_t i = 0; i < n; ++i) p[i] -= rate * (g[i] + decay * p[i]);
}

/// The momentum starts at 0, so the first step gives g.
inline void sgd(std::int64_t n, const float* g, float* p, float* b, float rate, float decay, float momentum, bool nesterov) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] + decay * p[i];
    b[i] = momentum * b[i] + d;
    p[i] -= rate * (nesterov ? d + momentum * b[i] : b[i]);
  }
}

struct RmspropLine {
  float rate, decay, smoothing, share, epsilon, momentum;  ///< share = 1 − smoothing
};
/// `b` may be nullptr: no momentum.
inline void rmsprop(const RmspropLine& o, std::int64_t n, const float* g, float* p, float* v, float* b) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] + o.decay * p[i];
    v[i] = o.smoothing * v[i] + o.share * d * d;
    const float u = d / (std::sqrt(v[i]) + o.epsilon);
    if (b == nullptr) {
      p[i] -= o.rate * u;
    } else {
      b[i] = o.momentum * b[i] + u;
      p[i] -= o.rate * b[i];
    }
  }
}

struct LambLine {
  float decay, beta1, share1, beta2, share2;
  float scale1, scale2, epsilon;  ///< scale1 = 1/(1 − β₁ᵗ), scale2 = 1/√(1 − β₂ᵗ)
};
inline float lamb_update(const LambLine& o, float p, float m, float v) {
  return o.scale1 * m / (std::sqrt(v) * o.scale2 + o.epsilon) + o.decay * p;
}
/// Moves m and v; returns Σu² of the update u that follows from them.
inline double lamb_moments(const LambLine& o, std::int64_t n, const float* g, const float* p, float* m, float* v) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    m[i] = o.beta1 * m[i] + o.share1 * g[i];
    v[i] = o.beta2 * v[i] + o.share2 * g[i] * g[i];
    const double u = lamb_update(o, p[i], m[i], v[i]);
    sum += u * u;
  }
  return sum;
}
inline void lamb_apply(const LambLine& o, std::int64_t n, float rate, float* p, const float* m, const float* v) {
  for (std::int64_t i = 0; i < n; ++i) p[i] -= rate * lamb_update(o, p[i], m[i], v[i]);
}

}  // namespace micromind::optimizer_loops
