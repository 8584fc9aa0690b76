#include "micromind/memory/plan.h"

#include <gtest/gtest.h>

#include "micromind/base/random.h"
#include "micromind/lower/lower.h"

namespace micromind {
namespace {

// No two tensors that live at the same step may overlap unless one took over the other's memory.
void expect_valid(const Graph& g, const MemoryPlan& plan) {
  const auto root = [&](int v) {
    while (plan.placements[static_cast<std::size_t>(v)].shares >= 0) v = plan.placements[static_cast<std::size_t>(v)].shares;
    return v;
  };
  for (std::size_t a = 0; a < plan.placements.size(); ++a) {
    const Placement& p = plan.placements[a];
    EXPECT_LE(p.offset + p.bytes, plan.arena_bytes);
    for (std::size_t b = a + 1; b < plan.placements.size(); ++b) {
      const Placement& q = plan.placements[b];
      const bool together = p.first <= q.last && q.first <= p.last;
      const bool overlap = p.offset < q.offset + q.bytes && q.offset < p.offset + p.bytes;
      if (together && overlap) {
        EXPECT_EQ(root(static_cast<int>(a)), root(static_cast<int>(b))) << g.value_name(static_cast<int>(a)) << " " << g.value_name(static_cast<int>(b));
      }
    }
  }
  EXPECT_GE(plan.arena_bytes, plan.lower_bound_bytes);
}

TEST(MemoryPlan, ChainReachesItsLowerBound) {
  Graph g("chain");
  int x = g.add_input("image", {3, 32, 32});
  for (const int c : {16, 8, 32, 4, 64}) x = g.add("conv" + std::to_string(c), Conv2d{.out_channels = c, .kernel = 3, .padding = 1}, {x});
  g.add_output("out", x);
  const MemoryPlan plan = plan_memory(lower(g).graph);
  EXPECT_EQ(plan.arena_bytes, (64 + 4) * 1024);
  EXPECT_EQ(plan.lower_bound_bytes, plan.arena_bytes);
  EXPECT_EQ(plan.peak_node, 4);
}

TEST(MemoryPlan, ElementwiseOperatorsWorkInPlaceOnlyWhenTheirInputDies) {
  Graph g("in place");
  const int x = g.add_input("image", {4, 8, 8});
  const int a = g.add("swish", Activation{Function::hard_swish}, {x});
  const int b = g.add("silu", Activation{Function::silu}, {a});  // `a` is read again: no sharing
  const int c = g.add("add", Add{}, {b, a});
  g.add_output("out", c);
  const Graph l = lower(g).graph;
  const MemoryPlan plan = plan_memory(l);
  expect_valid(l, plan);
  EXPECT_EQ(plan.placements[static_cast<std::size_t>(a)].shares, x);
  EXPECT_EQ(plan.placements[static_cast<std::size_t>(b)].shares, -1);
  EXPECT_EQ(plan.placements[static_cast<std::size_t>(c)].shares, b);
  EXPECT_EQ(plan.arena_bytes, 2 * 256);
}

TEST(MemoryPlan, BroadcastOperandIsNeverOverwritten) {
  Graph g("gate");
  const int x = g.add_input("image", {4, 8, 8});
  const int p = g.add("pool", AdaptiveAvgPool2d{}, {x});
  g.add_output("out", g.add("scale", Multiply{}, {p, x}));
  const Graph l = lower(g).graph;
  const MemoryPlan plan = plan_memory(l);
  expect_valid(l, plan);
  EXPECT_EQ(plan.placements[2].shares, x);
}

TEST(MemoryPlan, StatesKeepTheirMemory) {
  Graph g("state");
  const int x = g.add_input("x", {4, 4, 4}), m = g.add_input("memory", {4, 4, 4});
  const int s = g.add("sum", Add{}, {x, m});
  const int t = g.add("swish", Activation{Function::hard_swish}, {s});
  g.add_output("out", t);
  g.add_state({"memory", m, s});
  const Graph l = lower(g).graph;
  const MemoryPlan plan = plan_memory(l);
  expect_valid(l, plan);
  EXPECT_EQ(plan.placements[static_cast<std::size_t>(t)].shares, -1);
  EXPECT_EQ(plan.placements[static_cast<std::size_t>(m)].last, 2);
}

TEST(MemoryPlan, RandomBranchedGraphsAreValidAndCloseToTheBound) {
  double worst = 1;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    Graph g("random");
    std::vector<int> values = {g.add_input("image", {8, 8, 8})};
    for (int i = 0; i < 25; ++i) {
      const int x = values[values.size() - 1 - random.below(static_cast<std::uint32_t>(std::min<std::size_t>(4, values.size())))];
      const std::string name = "n" + std::to_string(i);
      switch (random.below(4)) {
        case 0: values.push_back(g.add(name, Activation{Function::hard_swish}, {x})); break;
        case 1: values.push_back(g.add(name, Concat{}, {x, values.back()})); break;
        default:
          values.push_back(g.add(name, Conv2d{.out_channels = static_cast<int>(1 + random.below(32)), .kernel = 3, .padding = 1}, {x}));
      }
    }
    g.add_output("out", values.back());
    const Graph l = lower(g).graph;
    const MemoryPlan plan = plan_memory(l);
    expect_valid(l, plan);
    worst = std::max(worst, static_cast<double>(plan.arena_bytes) / static_cast<double>(plan.lower_bound_bytes));
  }
  EXPECT_LE(worst, 1.15);
  RecordProperty("worst_ratio_to_bound", std::to_string(worst));
}

}  // namespace
}  // namespace micromind
