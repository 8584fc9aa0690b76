#include "micromind/quantize/calibration.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/graph/tensor_type.h"

namespace micromind {
namespace {

// Half of the bins lie on each side of zero.
constexpr int kHalf = Calibrator::kBins / 2;

double bin_centre(int bin, float limit) { return (bin - kHalf + 0.5) * limit / kHalf; }

// Range that keeps `share` of the values: the tails of both sides are cut at the same rank.
Range percentile_range(const std::vector<std::int64_t>& bins, float limit, const Range& seen, double share) {
  std::int64_t total = 0;
  for (const std::int64_t b : bins) total += b;
  const double tail = static_cast<double>(total) * (1 - share) / 2;
  const double width = static_cast<double>(limit) / kHalf;
  int low = 0, high = Calibrator::kBins - 1;
  for (double left = tail; low < high && (left -= static_cast<double>(bins[static_cast<std::size_t>(low)])) >= 0; ++low) {
  }
  for (double left = tail; high > low && (left -= static_cast<double>(bins[static_cast<std::size_t>(high)])) >= 0; --high) {
  }
  return {std::max(seen.min, static_cast<float>((low - kHalf) * width)), std::min(seen.max, static_cast<float>((high + 1 - kHalf) * width))};
}

// Mean squared error of int8 over the histogram for a range: rounding inside, clipping outside.
double quantization_error(const std::vector<std::int64_t>& bins, float limit, const Range& range) {
  const double step = (static_cast<double>(range.max) - range.min) / 255;
  double error = 0;
  for (int i = 0; i < Calibrator::kBins; ++i) {
    const std::int64_t n = bins[static_cast<std::size_t>(i)];
    if (n == 0) continue;
    const double x = bin_centre(i, limit);
    const double clipped = std::clamp<double>(x, range.min, range.max);
    error += static_cast<double>(n) * ((x - clipped) * (x - clipped) + (x == clipped ? step * step / 12 : 0));
  }
  return error;
}

// Shrinks the seen range side by side and keeps the pair with the least error.
Range mse_range(const std::vector<std::int64_t>& bins, float limit, const Range& seen) {
  Range best = seen;
  double least = quantization_error(bins, limit, best);
  constexpr int kSteps = 32;
  for (const bool upper : {true, false, true}) {
    const Range start = best;
    for (int i = 1; i < kSteps; ++i) {
      const float share = static_cast<float>(i) / kSteps;
      Range candidate = start;
      (upper ? candidate.max : candidate.min) *= share;
      if (const double error = quantization_error(bins, limit, candidate); error < least) {
        least = error;
        best = candidate;
      }
    }
  }
  return best;
}

}  // namespace

CalibrationMethod calibration_method_from(std::string_view name) {
  if (name == "minmax") return CalibrationMethod::minmax;
  if (name == "percentile") return CalibrationMethod::percentile;
  if (name == "mse") return CalibrationMethod::mse;
  const std::vector<std::string> known = {"minmax", "percentile", "mse"};
  fail_with_hint("calibration", name_hint(name, known), "unknown method '{}'; expected minmax, percentile or mse", name);
}

Calibrator::Calibrator(std::size_t values) : histograms_(values) {}

void Calibrator::Histogram::widen(float magnitude) {
  if (limit == 0) {
    limit = 0x1p-20f;
    while (magnitude >= limit) limit *= 2;  // nothing to merge yet
    bins.assign(kBins, 0);
  }
  while (magnitude >= limit) {  // twice the range: two neighbours become one bin
    std::vector<std::int64_t> wider(kBins, 0);
    for (int i = 0; i < kBins; ++i) wider[static_cast<std::size_t>(kHalf / 2 + i / 2)] += bins[static_cast<std::size_t>(i)];
    bins = std::move(wider);
    limit *= 2;
  }
}

void Calibrator::observe(int value, std::span<const float> numbers) {
  Histogram& h = histograms_.at(static_cast<std::size_t>(value));
  if (numbers.empty()) return;
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  h.seen = true;
  if (!std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); })) {
    h.finite = false;
    return;
  }
  h.min = std::min(h.min, *low);
  h.max = std::max(h.max, *high);
  h.widen(std::max(-*low, *high));
  const float scale = static_cast<float>(kHalf) / h.limit;
  for (const float x : numbers) {
    const int bin = static_cast<int>(std::floor(x * scale)) + kHalf;
    ++h.bins[static_cast<std::size_t>(std::clamp(bin, 0, kBins - 1))];
  }
}

std::vector<Range> Calibrator::ranges(const CalibrationOptions& options) const {
  if (!(options.percentile > 50 && options.percentile <= 100))
    fail("calibration", "percentile {} is outside (50, 100]", options.percentile);
  std::vector<Range> ranges;
  ranges.reserve(histograms_.size());
  for (std::size_t v = 0; v < histograms_.size(); ++v) {
    const Histogram& h = histograms_[v];
    if (!h.seen) fail("calibration", "value {} of the network was never seen; run at least one sample", v);
    if (!h.finite) fail_with_hint("calibration", "the weights are broken: train again", "value {} of the network is not finite", v);
    const Range seen{std::min(h.min, 0.0f), std::max(h.max, 0.0f)};
    switch (options.method) {
      case CalibrationMethod::minmax: ranges.push_back(seen); break;
      case CalibrationMethod::percentile: ranges.push_back(percentile_range(h.bins, h.limit, seen, options.percentile / 100)); break;
      case CalibrationMethod::mse: ranges.push_back(mse_range(h.bins, h.limit, seen)); break;
    }
    ranges.back().min = std::min(ranges.back().min, 0.0f);
    ranges.back().max = std::max(ranges.back().max, 0.0f);
  }
  return ranges;
}

Quantization choose_quantization(const Range& range) {
  const double min = std::min(range.min, 0.0f), max = std::max(range.max, 0.0f);
  if (max - min < 1e-12) return {1.0f, 0};  // a value that is always zero
  const auto scale = static_cast<float>((max - min) / 255);
  const double zero_point = std::round(-128 - min / static_cast<double>(scale));
  return {scale, static_cast<std::int32_t>(std::clamp(zero_point, -128.0, 127.0))};
}

}  // namespace micromind
