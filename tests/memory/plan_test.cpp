#include "micromind/memory/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "micromind/base/random.h"
#include "micromind/lower/lower.h"
#include "micromind/memory/overlap.h"

namespace micromind {
namespace {

// No two tensors that live at the same step may overlap unless one took over the other's memory, or is written over a part of
// it while it dies.
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
      const Node* writer = q.overlaps == static_cast<int>(a) ? &g.nodes()[static_cast<std::size_t>(g.values()[b].producer)] : nullptr;
      if (together && overlap && writer != nullptr) {
        EXPECT_EQ(p.last, q.first);
        EXPECT_LE(q.offset - p.offset, micromind::overlap(writer->op, g.shape(static_cast<int>(a)), g.shape(static_cast<int>(b))).value());
      } else if (together && overlap) {
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
  // From 4 to 64 channels: the input's last four pixels are unread when the output is all but written.
  EXPECT_EQ(plan.step_bound_bytes, (64 * 1024 + 4 * (32 + 1 + 4)));
  EXPECT_EQ(plan.lower_bound_bytes, plan.arena_bytes);
  EXPECT_EQ(plan.peak_node, 4);
  const MemoryPlan apart = plan_memory(lower(g).graph, {.overlap = false});
  EXPECT_EQ(apart.arena_bytes, (64 + 4) * 1024);
  EXPECT_EQ(apart.lower_bound_bytes, apart.arena_bytes);
  EXPECT_EQ(apart.peak_node, 4);
}

// Layers of equal size step down from the top; a chain is placed at the least that any offsets allow, which trying all of
// them confirms.
TEST(MemoryPlan, ChainsAreMinimal) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    Graph g("chain");
    int x = g.add_input("image", {static_cast<int>(1 + random.below(4)), 4, 4});
    for (int i = 0; i < 5; ++i) {
      const int kernel = random.below(2) == 0 ? 1 : 3;
      x = g.add("conv" + std::to_string(i), Conv2d{.out_channels = static_cast<int>(1 + random.below(4)), .kernel = kernel, .padding = kernel / 2}, {x});
    }
    g.add_output("out", x);
    const Graph l = lower(g).graph;
    const MemoryPlan plan = plan_memory(l);
    expect_valid(l, plan);
    EXPECT_EQ(plan.arena_bytes, plan.lower_bound_bytes);
    // Offsets that each tensor can have in an arena one word smaller, one step after the other.
    const std::int64_t room = plan.arena_bytes - 4;
    std::vector<std::int64_t> reached;
    for (std::int64_t o = 0; o + plan.placements[0].bytes <= room; o += 4) reached.push_back(o);
    for (const Node& node : l.nodes()) {
      const Shape &in = l.shape(node.inputs[0]), &out = l.shape(node.outputs[0]);
      const std::int64_t most = overlap(node.op, in, out).value(), in_bytes = (in.elements() + 3) / 4 * 4;
      std::vector<std::int64_t> next;
      for (std::int64_t o = 0; o + out.elements() <= room; o += 4)
        if (std::any_of(reached.begin(), reached.end(), [&](std::int64_t i) { return o <= i + most || o >= i + in_bytes; })) next.push_back(o);
      reached = next;
    }
    EXPECT_TRUE(reached.empty()) << seed;
  }
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
