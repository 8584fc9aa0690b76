// Quantisation-aware training: forward, a network computes with the int8 kernels that go onto the chip; backward, it learns
// as if it had computed with real numbers.
//
//   const FoldedNetwork network = fold_network(graph, weights);              // batch norm goes into the weights
//   GraphModule module(network.graph);
//   train_as_int8(module, network.weights, ranges, {.ranges = QatRanges::average});
//   Trainer(task, module, …).run();                                          // the ordinary trainer
//   const Model int8 = qat_model(network.graph, load_checkpoint(best));      // what validation ran, byte for byte
//
// Each forward pass makes the int8 model of the present weights and ranges (quantize/quantize.h) and runs it on the whole
// batch, operator by operator, through quantize/execute.h. Nothing emulates int8 in float: a float product of int8 numbers
// is no longer exact past 2²⁴, and requantisation rounds twice.
//
// Backward, rounding counts as the identity (the straight-through estimator: Bengio et al., arXiv:1308.3432; Jacob et al.,
// CVPR 2018, section 3). The gradient of an operator is that of its float form at the dequantised int8 inputs and weights;
// where the float result lies outside the range that int8 covers, it is zero.
//
// Ranges of activations (weights take their scale from their largest magnitude at every step):
//   average  moving average, with `decay` a step, of the range that calibration would choose for the step's first images;
//   learned  min·exp(θ₀) and max·exp(θ₁) with θ from 0, in the parameter "qat.log_ranges". Gradient of a result y′ = s·n of
//            y, with s = (max − min)/255, after LSQ (Esser et al., ICLR 2020, equation 3) written for the ends of a range:
//            ∂y′/∂max = 1 above the range, ∂y′/∂min = 1 below it, and inside ∂y′/∂max = −∂y′/∂min = (y′ − y)/(255 s);
//            all times 1/√(127 · numbers of the value), LSQ's scale, and times ∂max/∂θ₁ = max. Values that share a scale
//            learn one range.
#pragma once

#include <string_view>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/quantize/calibration.h"

namespace micromind {

class GraphModule;

enum class QatRanges { average, learned };
QatRanges qat_ranges_from(std::string_view name);  ///< throws Error with the nearest name

struct QatOptions {
  QatRanges ranges = QatRanges::average;
  CalibrationOptions calibration = {};  ///< average: how a batch's range is chosen
  double decay = 0.99;                  ///< average
  int observed_images = 4;              ///< average: so many of a batch are looked at
};

/// Makes `module` compute as int8 from now on. Its graph must be folded (fold_network) and of one input and one output;
/// `weights` are those of the graph, `ranges` one a value of it, from calibration. The module's weights then hold the
/// ranges too: "qat.ranges" [values, 2] and, learned, "qat.log_ranges" [values, 2].
/// Throws Error on a graph with batch norm or dropout, a device other than the CPU, ranges of another number, not finite
/// or upside down, weights that are not the graph's, and options out of range.
void train_as_int8(GraphModule& module, const Weights& weights, const std::vector<Range>& ranges, const QatOptions& options = {});

/// The int8 model of a module's weights (to_weights(), a checkpoint). Throws Error where "qat.ranges" is missing or does
/// not fit the graph, and as quantize() does.
Model qat_model(const Graph& folded, const Weights& weights);

}  // namespace micromind
