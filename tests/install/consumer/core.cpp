// A PhiNet's cost, and its C: graph, cost, formats, deploy and the embedded kernels, all from the core library.
#include <cstdio>

#include "micromind/cost/cost.h"
#include "micromind/deploy/emit.h"
#include "micromind/formats/onnx.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/phinet.h"
#include "micromind/quantize/quantize.h"
#include "micromind/reference/reference.h"

int main() {
  using namespace micromind;
  const Graph graph = phinet();
  const Lowered lowered = lower(graph);
  const Cost cost = estimate_cost(graph, lowered);
  std::printf("parameters %lld\nmult-adds %lld\n", static_cast<long long>(cost.parameters), static_cast<long long>(cost.torchinfo_mult_adds));

  const Weights weights = initial_weights(graph, 1);
  Calibrator calibrator(graph.values().size());
  run_reference(graph, weights, {{"image", Array(ElementType::float32, graph.shape(0))}}, calibrator.observer());
  const Model int8 = quantize(graph, lowered, weights, calibrator.ranges({}));
  std::printf("files %zu\nonnx %d\n", emit_c(int8).size(), to_onnx({graph, weights}).size() > 30917 * 4);
}
