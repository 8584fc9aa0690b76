// What the peers need for the same models on the same emulated cores, and what vendors published of boards: the figures of
// bench/peers.json, which says how they were taken.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "micromind/graph/graph.h"
#include "micromind/targets/target.h"

namespace micromind {

/// One inference of a model on a core.
struct PeerFigure {
  std::string core;     ///< "cortex-m7"
  std::string kernels;  ///< "CMSIS-NN", "reference"
  std::int64_t instructions = 0, arena_bytes = 0, flash_bytes = 0;
};

struct PeerModel {
  std::string file;           ///< stem of the .tflite: "kws_ref_model"
  std::string name;           ///< "keyword spotting (DS-CNN)"
  std::string inputs;         ///< name of its accuracy inputs: "kws01"; "" = none
  double quality_target = 0;  ///< top-1 that MLPerf Tiny's closed division asks for; 0 = another measure
  std::vector<PeerFigure> figures;
};

/// A single layer: a convolution (kernel ≥ 1; depthwise when out is 0) with half-kernel padding, or a linear layer (kernel 0).
struct PeerLayer {
  std::string name;
  int kernel = 0, stride = 1, size = 1, in = 0, out = 0;
  std::vector<std::pair<std::string, double>> per_mac;  ///< core → instructions a MAC
  Graph graph() const;
};

struct BoardResult {
  std::string file;
  double milliseconds = 0, microjoules = 0;  ///< of one inference, as published
};
struct PeerBoard {
  std::string board, core;
  double clock_hz = 0;
  std::vector<BoardResult> results;
};

struct Peers {
  std::string runtime, method, boards_source;
  std::vector<PeerModel> models;
  std::vector<PeerLayer> layers;
  std::vector<PeerBoard> boards;

  const PeerModel* model(std::string_view file) const;                               ///< or null
  const PeerFigure* figure(std::string_view file, std::string_view core) const;      ///< with CMSIS-NN, or null
};

/// The figures that the binary carries.
const Peers& peers();

/// Throws Error naming what is wrong.
Peers parse_peers(std::string_view json, std::string_view origin);

}  // namespace micromind
