#include "micromind/memory/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "micromind/base/random.h"
#include "micromind/lower/lower.h"
#include "micromind/memory/plan.h"

namespace micromind {
namespace {

Graph random_graph(std::uint64_t seed, int nodes) {
  Random random(seed);
  Graph g("random");
  std::vector<int> values = {g.add_input("image", {8, 8, 8})};
  const auto any = [&] { return values[values.size() - 1 - random.below(static_cast<std::uint32_t>(std::min<std::size_t>(5, values.size())))]; };
  for (int i = 0; i < nodes; ++i) {
    const std::string name = "n" + std::to_string(i);
    switch (random.below(5)) {
      case 0: values.push_back(g.add(name, Activation{Function::hard_swish}, {any()})); break;
      case 1: values.push_back(g.add(name, Concat{}, {any(), values.back()})); break;
      default: values.push_back(g.add(name, Conv2d{.out_channels = static_cast<int>(1 + random.below(32)), .kernel = 3, .padding = 1}, {any()}));
    }
  }
  g.add_output("out", values.back());
  return g;
}

// Every order, by definition: the least largest step of plans of reordered graphs.
std::int64_t least_of_all(const Graph& g, std::vector<int>& nodes, std::vector<bool>& done, std::int64_t best) {
  if (nodes.size() == g.nodes().size()) return std::min(best, plan_memory(reorder(g, nodes), {.search_rounds = 0}).step_bound_bytes);
  for (std::size_t n = 0; n < g.nodes().size(); ++n) {
    const std::vector<int>& in = g.nodes()[n].inputs;
    const auto ready = [&](int v) {
      const int p = g.values()[static_cast<std::size_t>(v)].producer;
      return p < 0 || done[static_cast<std::size_t>(p)];
    };
    if (done[n] || !std::all_of(in.begin(), in.end(), ready)) continue;
    done[n] = true;
    nodes.push_back(static_cast<int>(n));
    best = least_of_all(g, nodes, done, best);
    nodes.pop_back();
    done[n] = false;
  }
  return best;
}

TEST(NodeOrder, IsTheBestOfAllOrders) {
  int changed = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const Graph l = lower(random_graph(seed, 7), {.order = false}).graph;
    const NodeOrder order = best_order(l);
    EXPECT_EQ(order.given_bytes, plan_memory(l).step_bound_bytes) << seed;
    EXPECT_TRUE(order.proven()) << seed;
    std::vector<int> nodes;
    std::vector<bool> done(l.nodes().size());
    EXPECT_EQ(order.bytes, least_of_all(l, nodes, done, order.given_bytes)) << seed;
    changed += order.changed();
  }
  EXPECT_GT(changed, 10);
}

TEST(NodeOrder, LargerGraphsGetAPlanOfThatSize) {
  int changed = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Graph g = random_graph(seed, 24);
    const Lowered l = lower(g, {.order = false}), ordered = lower(g);
    const NodeOrder order = best_order(l.graph);
    const MemoryPlan plan = plan_memory(ordered.graph);
    EXPECT_EQ(order.bytes, plan_memory(reorder(l.graph, order.nodes), {.search_rounds = 0}).step_bound_bytes) << seed;
    EXPECT_LE(plan.arena_bytes, plan_memory(l.graph).arena_bytes) << seed;
    EXPECT_LE(order.lower_bound_bytes, order.bytes);
    EXPECT_LE(order.bytes, order.given_bytes);
    changed += order.changed();
    ASSERT_EQ(ordered.source_value.size(), ordered.graph.values().size());
    for (std::size_t v = 0; v < ordered.source_value.size(); ++v)
      EXPECT_EQ(ordered.graph.shape(static_cast<int>(v)), g.shape(ordered.source_value[v]));
    for (std::size_t n = 0; n < ordered.origin.size(); ++n)
      if (ordered.origin[n].parameters >= 0) {
        EXPECT_EQ(g.nodes()[static_cast<std::size_t>(ordered.origin[n].parameters)].name, ordered.graph.nodes()[n].name);
      }
  }
  EXPECT_GT(changed, 10);
}

TEST(NodeOrder, StaysWithinItsStatesAndSaysSo) {
  const Graph l = lower(random_graph(3, 40), {.order = false}).graph;
  const NodeOrder order = best_order(l, {.states = 3});
  EXPECT_LE(order.bytes, order.given_bytes);
  EXPECT_GE(order.bytes, order.lower_bound_bytes);
}

TEST(NodeOrder, RefusesAnotherNumberOfNodes) { EXPECT_THROW(reorder(random_graph(1, 3), {0}), std::exception); }

}  // namespace
}  // namespace micromind
