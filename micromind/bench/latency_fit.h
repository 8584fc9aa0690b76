// Fitting the latency model of a core (cost/latency.h), and measuring how far off it is.
//
//   const LatencyFit fit = fit_latency(load_target("mps2-an386"), progress);
//   write_atomic("targets/latency/cortex-m4.json", to_json(fit.model).dump(1));
//
// Layers of every kernel and structure, over sizes drawn at random from a fixed seed, are counted on the
// emulated core; two of three train the coefficients (least squares of relative errors, none below 0), the
// third is held out, and so is every layer of whole networks.
#pragma once

#include <string>
#include <vector>

#include "micromind/bench/workbench.h"
#include "micromind/cost/latency.h"

namespace micromind {

/// Relative errors of predictions, as shares (0.1 is 10 %).
struct FitError {
  std::string name;  ///< "conv2d_s8 3x3", "resnet8"
  int layers = 0;
  double mean = 0, worst = 0;  ///< of single layers, absolute
  double total = 0;            ///< of the sum of all layers, signed
};

struct LatencyFit {
  LatencyModel model;
  int trained = 0;                                               ///< layers
  std::vector<FitError> held_out_instructions, held_out_cycles;  ///< one a row of the model
  std::vector<FitError> network_instructions, network_cycles;    ///< one a network
};

/// Throws Error as count_layers() does and for a core without a cycle table.
LatencyFit fit_latency(const Target& target, const Progress& progress = {});

std::string fit_table(const LatencyFit& fit);
nlohmann::json fit_to_json(const LatencyFit& fit);

/// The layers that are counted, one a graph, and the networks that are held out whole.
struct LatencyCase {
  std::string kernel, variant;
  Graph graph;
};
std::vector<LatencyCase> latency_cases();
std::vector<Graph> latency_networks();

}  // namespace micromind
