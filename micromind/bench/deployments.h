// What models cost on every emulated core, beside what the peers measured: the table of docs/benchmarks.md.
//
//   const DeployBench bench = bench_deployments({.models = "../shared/data/mlperf_tiny"}, note);
//   write_atomic("docs/benchmarks.md", benchmarks_page(bench));
//
// Every figure of ours comes from deploy(): instructions counted on the emulated core, stack by painting, flash of the linked
// image, arena as asserted by the compiler, outputs compared byte for byte with this computer's. Cycles are an estimate
// (deploy/cycle_model.h).
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "micromind/bench/peers.h"
#include "micromind/bench/workbench.h"
#include "micromind/deploy/deploy.h"

namespace micromind {

struct DeployBenchOptions {
  /// A folder of int8 .tflite files, or one with a folder `models` beside MLPerf Tiny's labelled inputs (kws01, ic01,
  /// vww01 .tar.xz): accuracy is measured then. Empty: our own networks alone.
  std::string models;
  std::vector<std::string> targets;  ///< empty: every emulated machine there is
  std::string accuracy_target = "mps2-an500";
  std::int64_t accuracy_inputs = 0;  ///< of each model, at most; 0: all; −1: no accuracy
  bool own_networks = true, layers = true;
  int jobs = 0;  ///< at once; 0: one a processor
};

struct DeployRow {
  std::string model, name;  ///< "kws_ref_model", "keyword spotting (DS-CNN)"
  bool own = false;         ///< a network of a recipe with random weights
  Deployment deployment;
};

struct AccuracyRow {
  std::string model, name, target, core;
  std::int64_t inputs = 0, correct = 0, identical = 0;  ///< answers of the core; outputs equal to this computer's
  double quality_target = 0;
};

struct LayerRow {
  std::string name;
  std::int64_t macs = 0;
  std::vector<double> instructions, cycles;  ///< a MAC, one a target of `layer_targets`
};

struct DeployBench {
  DeployBenchOptions options;
  std::string compiler;
  std::vector<DeployRow> rows;  ///< by model, then by target
  std::vector<AccuracyRow> accuracy;
  std::vector<std::string> layer_cores;
  std::vector<LayerRow> layers;
};

/// Throws Error for a folder without a model, an unknown target and what deploy() throws. A model that is not int8 or that
/// cannot be read is left out with a line of progress that says why.
DeployBench bench_deployments(const DeployBenchOptions& options, const Progress& progress = {});

/// Names of the targets that are emulated machines themselves.
std::vector<std::string> emulated_machines();

/// Our own networks: of the recipes that the binary carries, for the images of their data sets.
struct OwnNetwork {
  std::string recipe, name;
  Graph graph;
};
std::vector<OwnNetwork> own_networks();

std::string deploy_bench_text(const DeployBench& bench);
nlohmann::json to_json(const DeployBench& bench);
std::string benchmarks_page(const DeployBench& bench);  ///< docs/benchmarks.md

}  // namespace micromind
