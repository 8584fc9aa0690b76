// How many PhiNets a second can be built, lowered, planned and costed on one core: the speed that scaling searches at.
#include <benchmark/benchmark.h>

#include "micromind/cost/cost.h"
#include "micromind/networks/phinet.h"
#include "micromind/networks/xinet.h"

namespace micromind {
namespace {

const PhiNetOptions kPhiNet = {.input = {3, 32, 32}, .alpha = 1, .t_zero = 5, .include_top = true, .divisor = 8};

void BM_BuildPhiNet(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(phinet(kPhiNet));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_BuildPhiNet)->Unit(benchmark::kMicrosecond);

void BM_LowerPhiNet(benchmark::State& state) {
  const Graph graph = phinet(kPhiNet);
  for (auto _ : state) benchmark::DoNotOptimize(lower(graph));
}
BENCHMARK(BM_LowerPhiNet)->Unit(benchmark::kMicrosecond);

void BM_PlanPhiNet(benchmark::State& state) {
  const Lowered lowered = lower(phinet(kPhiNet));
  for (auto _ : state) benchmark::DoNotOptimize(plan_memory(lowered.graph));
}
BENCHMARK(BM_PlanPhiNet)->Unit(benchmark::kMicrosecond);

void BM_CostPhiNet(benchmark::State& state) {  // everything `inspect` needs, from a graph
  const Graph graph = phinet(kPhiNet);
  for (auto _ : state) {
    const Lowered lowered = lower(graph);
    benchmark::DoNotOptimize(estimate_cost(graph, lowered));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CostPhiNet)->Unit(benchmark::kMicrosecond);

void BM_CostXiNet(benchmark::State& state) {
  const Graph graph = xinet({.input = {3, 64, 64}});
  for (auto _ : state) {
    const Lowered lowered = lower(graph);
    benchmark::DoNotOptimize(estimate_cost(graph, lowered));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CostXiNet)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace micromind
