#include "micromind/data/mix.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "micromind/base/error.h"

namespace micromind {
namespace {

double open_uniform(Random& random) { return (random.next() + 0.5) * 0x1p-32; }  // in (0, 1)

/// The logarithm of a Gamma(α, 1) variate: that of α + 1, times U^(1/α).
double log_gamma_variate(double alpha, Random& random) {
  const double d = alpha + 1 - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal(), root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(open_uniform(random)) < 0.5 * x * x + d - d * v + d * std::log(v))
      return std::log(d * v) + std::log(open_uniform(random)) / alpha;
  }
}

/// A rectangle of 1 − λ of the area, its centre uniform, cut at the border.
Box box_of(double lambda, int height, int width, Random& random) {
  const double side = std::sqrt(1 - lambda);
  const int h = static_cast<int>(std::lround(side * height)), w = static_cast<int>(std::lround(side * width));
  const int y = static_cast<int>(random.below(static_cast<std::uint32_t>(height))) - h / 2;
  const int x = static_cast<int>(random.below(static_cast<std::uint32_t>(width))) - w / 2;
  const int top = std::clamp(y, 0, height), left = std::clamp(x, 0, width);
  return {top, left, std::clamp(y + h, top, height) - top, std::clamp(x + w, left, width) - left};
}

}  // namespace

void MixOptions::validate() const {
  const auto check = [](const char* name, double value, double most) {
    if (!(value >= 0 && value <= most)) fail("augment", "{}: expected a value in [0, {}], found {}", name, most, value);
  };
  check("mixup", mixup, 100);
  check("cutmix", cutmix, 100);
  check("mix_probability", probability, 1);
}

double symmetric_beta(double alpha, Random& random) {
  const double first = log_gamma_variate(alpha, random), second = log_gamma_variate(alpha, random);
  return 1 / (1 + std::exp(second - first));
}

void plan_mix(const MixOptions& options, std::int64_t size, int height, int width, Random& random, MixPlan& plan) {
  const auto n = static_cast<std::size_t>(size);
  const bool heads = (random.next() & 1) != 0;
  plan.cut = options.cutmix > 0 && (options.mixup <= 0 || heads);
  const double alpha = plan.cut ? options.cutmix : options.mixup;
  // One cycle through all positions (Sattolo's shuffle): a permutation in which nobody is left alone.
  plan.partner.resize(n);
  for (std::size_t i = 0; i < n; ++i) plan.partner[i] = static_cast<std::uint32_t>(i);
  for (std::size_t i = n; i > 1; --i) std::swap(plan.partner[i - 1], plan.partner[random.below(static_cast<std::uint32_t>(i - 1))]);
  plan.weight.resize(n);
  plan.box.resize(plan.cut ? n : 0);
  for (std::size_t i = 0; i < n; ++i) {
    const double lambda = symmetric_beta(alpha, random);
    plan.weight[i] = static_cast<float>(lambda);
    if (!plan.cut) continue;
    const Box box = plan.box[i] = box_of(lambda, height, width, random);
    plan.weight[i] = static_cast<float>(1 - static_cast<double>(box.height) * box.width / (static_cast<double>(height) * width));
  }
}

}  // namespace micromind
