// How long a network takes on a core, before a weight is trained: a model fitted to layers that were counted
// on the emulated core (`micromind bench operators --target … --fit DIR`; docs/operators.md says how and how
// well).
//
//   const Latency l = estimate_latency(lowered, load_target("stm32h743"));
//   l.seconds, l.layers[i].cycles
//
// A layer's instructions and cycles are a sum with coefficients of at least 0 that depend on its kernel and
// structure (kernel size, groups), never on its widths:
//
//   call·calls + position·(H'·W') + output·(C'·H'·W') + input·(C·H·W) + mac·work + window·windows + tap·taps
//
// The last two are of convolutions with more than one input a position (windows are unpacked; kernels that unpack them
// multiply the padding, too) and 0 elsewhere.
//
// so the estimate never falls when a width grows: the scaling search relies on it. Real kernels work in
// blocks of channels and are not monotone; that is part of the model's error. Cycles are themselves an
// estimate (deploy/cycle_model.h); instructions are what the emulator counts.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "micromind/lower/lower.h"
#include "micromind/targets/target.h"

namespace micromind {

/// How the kernels of a core fill up what they work on: runs of a window (FilterRuns) to whole vectors, outputs to fours.
struct Lanes {
  int bytes = 1;            ///< of a vector
  int outputs = 1;          ///< at a time
  int pixels = 1;           ///< of an image, likewise
  bool whole_window = false;  ///< a window is one run
};
Lanes lanes_of(Core core);

/// What a layer's latency is a sum of.
struct LatencyFeatures {
  double calls = 0;      ///< of the kernel: 1, or one an input (concat) or output (split)
  double positions = 0;  ///< of the output, for each group or part: H'·W'·groups, H'·W'·calls
  double outputs = 0;    ///< numbers written; of convolutions and linear layers filled up
  double inputs = 0;     ///< numbers of the first input
  double work =
      0;  ///< multiply-accumulates or window positions of pooling that meet the image, not its padding
  double windows = 0;  ///< numbers in all windows of an ungrouped convolution or linear layer, filled up: k²·C·H'·W'
  double edges = 0;      ///< of these, numbers in windows that leave the image or are computed together with such
  double taps = 0;     ///< its multiply-accumulates, those of padding and filling included
};
LatencyFeatures latency_features(const Graph& lowered, const Node& node,
                                 const Lanes& lanes);  ///< all 0 where nothing runs (flatten)

/// Structure that decides a kernel's path: "pointwise", "single" (that of one pixel), "1x1", "3x3", "grouped", "broadcast" …, "" for all
/// else.
std::string_view kernel_variant(const Graph& lowered, const Node& node);

/// Instructions or cycles, each ≥ 0.
struct KernelLatency {
  double call = 0, position = 0, output = 0, input = 0, mac = 0, window = 0, edge = 0, tap = 0;
  double at(const LatencyFeatures& f) const {
    return call * f.calls + position * f.positions + output * f.outputs + input * f.inputs + mac * f.work + window * f.windows +
           edge * f.edges + tap * f.taps;
  }
};

struct LatencyRow {
  std::string kernel,
      variant;  ///< "conv2d_s8", "3x3"; the variant "" serves all structures without a row of their own
  KernelLatency instructions, cycles;
};

struct LayerLatency {
  double instructions = 0, cycles = 0;
};

/// With windows of w(C) = runs · ⌈taps·C⌉ numbers and ⌈·⌉ filling up as Lanes say, a layer's cycles are
///   call + position·(H'·W') + output·(⌈C'⌉·H'·W') + input·(C·H·W) + mac·MACs + (window + tap·⌈C'⌉)·w(C)·H'·W'
/// (edges are in `window`).
struct CyclesByWidth {
  KernelLatency at;
  std::int64_t runs = 0, taps = 0;       ///< of a filter (cost/flash.h)
  std::int64_t run_lanes = 1, output_lanes = 1;
  std::int64_t outputs(std::int64_t width) const { return (width + output_lanes - 1) / output_lanes * output_lanes; }
  std::int64_t window(std::int64_t width) const { return runs * ((taps * width + run_lanes - 1) / run_lanes * run_lanes); }
};

class LatencyModel {
 public:
  LatencyModel() = default;
  LatencyModel(Core core, std::vector<LatencyRow> rows);

  /// 0 for a layer that runs nothing. Throws Error for a kernel without a row.
  LayerLatency layer(const Graph& lowered, const Node& node) const;
  double layer_cycles(const Graph& lowered, const Node& node) const { return layer(lowered, node).cycles; }

  /// The same cycles as a function of the layer's widths; its structure (groups, parts, padding) is in the coefficients.
  CyclesByWidth cycles_by_width(const Graph& lowered, const Node& node) const;
  Core core() const { return core_; }
  const std::vector<LatencyRow>& rows() const { return rows_; }

 private:
  const LatencyRow* find(std::string_view kernel, std::string_view variant) const;
  const LatencyRow& row(const Graph& lowered, const Node& node, std::string_view kernel) const;
  Core core_ = Core::kHost;
  std::vector<LatencyRow> rows_;  // sorted
};

/// The model that the binary carries for a core. Throws Error for a core without one, naming those that have
/// one.
const LatencyModel& load_latency_model(Core core);

bool has_latency_model(Core core);

/// Names of the cores that have a model: "cortex-m4", …
std::vector<std::string> latency_model_cores();

struct Latency {
  double instructions = 0, cycles = 0;
  double seconds = 0;                ///< cycles at the target's clock
  std::vector<LayerLatency> layers;  ///< one a node of the lowered graph
};
Latency estimate_latency(const Lowered& lowered, const Target& target);
Latency estimate_latency(const Graph& lowered, const LatencyModel& model, std::int64_t clock_hz);

/// The file format; latency_model_from_json throws Error naming what is wrong (a coefficient below 0
/// included).
nlohmann::json to_json(const LatencyModel& model);
LatencyModel latency_model_from_json(const nlohmann::json& json, std::string_view origin);

}  // namespace micromind
