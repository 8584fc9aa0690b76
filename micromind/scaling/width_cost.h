// What networks of one structure cost, as a function of their widths. The scaling search asks this a million times a
// second; nothing here is a second cost model: the terms are read off a lowered graph and its memory plan, and for whole
// widths they give the planner's, the flash model's and the counter's own numbers (tests/scaling compares them).
//
// A structure is everything but the widths: depth, strides, image size, squeeze-and-excite or not, and which blocks have
// a residual. A *slot* is one width that the rounding of a family decides (networks/*.h list them); several values of the
// graph may have the channels of one slot.
//
//   RAM(x)   = max over steps i of  Σ over live buffers b of  ⌈area_b · x_slot(b)⌉₄
//   flash(x) = Σ over layers of  ⌈x_out⌉₄ · (rows · ⌈row · x_in⌉₄ + 12) + call   +  code of the kernels
//   MACs(x)  = Σ over layers of  area · k · x_in · x_out
//   cycles(x)= Σ over layers of  CyclesByWidth (cost/latency.h)
//
// ⌈·⌉₄ rounds up to fours. A depthwise layer has x_out in place of x_in · x_out. Without the rounding the four are
// polynomials with coefficients ≥ 0: the smooth relaxation, and monotone in every width, which is all that the bounds of
// the search need. RAM is that of tensors that lie apart (PlanOptions::overlap off) in the family's own order of layers: what a
// chip takes is less, but where outputs overlap dying inputs it is not monotone (docs/scaling.md).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "micromind/cost/latency.h"
#include "micromind/graph/graph.h"
#include "micromind/lower/lower.h"

namespace micromind {

/// RAM bytes, flash bytes, MACs, cycles: the order of every array of resources in this room.
enum Resource : int { kRam, kFlash, kMacs, kCycles };
inline constexpr int kResources = 4;
template <class T>
using Resources = std::array<T, kResources>;

/// Coefficients of one layer's cycles: LatencyModel::cycles_by_width (cost/latency.h).
using LayerCyclesOf = std::function<CyclesByWidth(const Graph& lowered, const Node& node)>;

class WidthCost {
 public:
  /// `network` was built with `probe`, one width a slot: equal where the structure needs them equal, different from each
  /// other and from every other extent of the graph elsewhere. Without `cycles`, latency is 0.
  /// Throws Error when a channel count of the graph is neither a probe nor a constant.
  WidthCost(const Graph& network, std::span<const int> probe, const LayerCyclesOf& cycles = nullptr);

  std::size_t slots() const { return slots_; }

  /// Memory for evaluate(): the first slots() elements are the caller's to set.
  template <class T>
  std::vector<T> variables() const {
    std::vector<T> x(slots_, T(1));
    for (const std::int64_t c : constants_) x.push_back(T(c));
    return x;
  }

  /// Whole widths: exact, but that RAM is the planner's proven lower bound without overlap. Allocates nothing.
  Resources<double> evaluate(std::span<const std::int64_t> x) const;

  /// Real widths, without rounding. The maximum over the steps is smooth: a p-norm (Σ live^p)^(1/p), p = 64, at most
  /// steps^(1/p) times the maximum. `Number` needs +, *, pow(·, double) and conversion from double.
  template <class Number>
  Resources<Number> relax(std::span<const Number> x) const;

  /// Slots that are a depthwise convolution's channels: from 2 up, since one channel is a plain convolution.
  const std::vector<int>& depthwise_slots() const { return depthwise_slots_; }

 private:
  struct Layer {  // a convolution or a linear layer
    int in = 0, out = 0;  // variables
    bool depthwise = false;
    std::int64_t weights = 0;      // for each in · out, or each out
    std::int64_t area = 0;         // every weight meets so many positions
    std::int64_t runs = 1, taps = 1;  // cost/flash.h
  };
  struct Cycles {
    CyclesByWidth layer;  // its coefficients times positions
    int in = 0, out = 0;
    bool depthwise = false;
  };
  struct Buffer {
    int variable = 0;
    std::int64_t area = 0;
  };
  struct Step {
    int first = 0, count = 0;  // into buffers_
  };

  int variable_of(std::int64_t extent, std::span<const int> probe, const std::string& where);
  void read_layers(const Lowered& lowered, std::span<const int> probe, const LayerCyclesOf& cycles);
  void read_steps(const Graph& graph, std::span<const int> probe);

  std::size_t slots_ = 0;
  std::vector<std::int64_t> constants_;  // variables behind the slots
  std::vector<Layer> layers_;
  std::vector<Cycles> cycles_;
  std::vector<Buffer> buffers_;
  std::vector<Step> steps_;
  std::vector<int> depthwise_slots_;
  double fixed_flash_ = 0;  // code, calls, tables
  double fixed_cycles_ = 0;
};

template <class Number>
Resources<Number> WidthCost::relax(std::span<const Number> x) const {
  const auto at = [&](int v) -> const Number& { return x[static_cast<std::size_t>(v)]; };
  const auto real = [](std::int64_t n) { return Number(static_cast<double>(n)); };
  Number flash(fixed_flash_), macs(0.0), cycles(fixed_cycles_);
  for (const Layer& l : layers_) {
    const Number weights = l.depthwise ? real(l.weights) * at(l.out) : real(l.weights) * at(l.in) * at(l.out);
    macs = macs + real(l.area) * weights;
    flash = flash + (l.depthwise ? real(4 * ((l.weights + 1) / 2)) * at(l.out) : weights) + real(12) * at(l.out);
  }
  for (const Cycles& c : cycles_) {
    const Number pairs = c.depthwise ? at(c.out) : at(c.in) * at(c.out);
    const KernelLatency& k = c.layer.at;
    cycles = cycles + Number(k.output) * at(c.out) + Number(k.input) * at(c.in) + Number(k.mac) * pairs;
    if (c.layer.runs == 0 || c.depthwise) continue;
    const Number window = real(c.layer.runs * c.layer.taps) * at(c.in);
    cycles = cycles + Number(k.window) * window + Number(k.tap) * window * at(c.out);
  }
  using std::pow;
  constexpr double p = 64;
  std::vector<Number> live;
  double most = 1;
  for (const Step& step : steps_) {
    Number sum(0.0);
    for (int b = step.first; b < step.first + step.count; ++b) {
      const Buffer& buffer = buffers_[static_cast<std::size_t>(b)];
      sum = sum + real(buffer.area) * at(buffer.variable);
    }
    live.push_back(sum);
    most = std::max(most, static_cast<double>(sum));
  }
  Number sum(0.0);  // scaled by the largest: its power would overflow
  for (const Number& l : live) sum = sum + pow(l * Number(1 / most), p);
  return {Number(most) * pow(sum, 1 / p), flash, macs, cycles};
}

}  // namespace micromind
