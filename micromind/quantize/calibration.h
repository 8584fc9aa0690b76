// Which range of real numbers each value of a network takes: the basis of its int8 scale.
//
//   Calibrator calibrator(graph.values().size());
//   for (image : images) executor.run(image, calibrator.observer());
//   const std::vector<Range> ranges = calibrator.ranges({.method = CalibrationMethod::percentile});
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace micromind {

struct Range {
  float min = 0, max = 0;  ///< always contains 0
  bool operator==(const Range&) const = default;
};

enum class CalibrationMethod { minmax, percentile, mse };
CalibrationMethod calibration_method_from(std::string_view name);  ///< throws Error with the nearest name

struct CalibrationOptions {
  CalibrationMethod method = CalibrationMethod::percentile;
  double percentile = 99.99;  ///< share of the values inside the range, percent, in (50, 100]
};

/// What an executor reports while it runs: the index of a value of the graph, and its numbers.
using ValueObserver = std::function<void(int value, std::span<const float> numbers)>;

/// Collects a histogram of every value. A histogram's range doubles when a number falls outside, so one pass is
/// enough and its result does not depend on the order of the samples.
class Calibrator {
 public:
  explicit Calibrator(std::size_t values);
  void observe(int value, std::span<const float> numbers);
  ValueObserver observer() {
    return [this](int value, std::span<const float> numbers) { observe(value, numbers); };
  }
  /// One range a value. Throws Error when a value was never seen or was not finite.
  std::vector<Range> ranges(const CalibrationOptions& options) const;

  static constexpr int kBins = 4096;  ///< over [−limit, limit)

 private:
  struct Histogram {
    float min = 0, max = 0;
    float limit = 0;                    // a power of two; 0: nothing seen yet
    bool seen = false, finite = true;
    std::vector<std::int64_t> bins;
    void widen(float magnitude);
  };
  std::vector<Histogram> histograms_;
};

/// scale and zero point whose 256 steps cover the range: TFLite's asymmetric int8, 0 exactly representable.
struct Quantization choose_quantization(const Range& range);

}  // namespace micromind
