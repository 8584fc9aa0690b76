// Counting many small networks on an emulated core at once: they are put side by side into a few images, so
// that what they cost is known layer by layer without a build for each.
//
//   const auto counted = count_layers(graphs, roomy_machine(load_target("stm32h743")));
//   counted[g][i].counts          // instructions by class of the i-th lowered node of graphs[g]
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "micromind/cost/latency.h"
#include "micromind/deploy/instruction_classes.h"
#include "micromind/graph/model.h"
#include "micromind/lower/lower.h"

namespace micromind {

/// One line a step, for people who wait.
using Progress = std::function<void(const std::string&)>;

struct CountedLayer {
  std::string name, kernel, variant;  ///< the kernel is "" where nothing runs
  LatencyFeatures features;
  std::int64_t macs = 0;
  InstructionCounts counts;
};

/// The emulated machine of a board with all of the machine's memory, but the board's core, compiler, clock
/// and power: what is measured there need not fit the board. A machine is itself. Throws Error when nothing
/// emulates the board.
Target roomy_machine(const Target& board);

/// One list a graph, one entry a lowered node. `target` is a roomy_machine(). Weights are random, ranges
/// fixed: what the kernels execute does not depend on them but for rounding. Throws Error as deploy() does.
std::vector<std::vector<CountedLayer>> count_layers(const std::vector<Graph>& graphs, const Target& target,
                                                    const Progress& progress = {});

/// A network in int8 with random weights and the same range for every value: for measuring, not for answers.
Model random_model(const Graph& network, const LowerOptions& options = {});

/// Any bytes, the same every time: all inputs of the model one after another.
std::vector<std::int8_t> random_input(const Model& model);

/// Copies `from` into `to`, every name behind `prefix`; its inputs and outputs become inputs and outputs of
/// `to`.
void append_graph(Graph& to, const Graph& from, const std::string& prefix);

}  // namespace micromind
