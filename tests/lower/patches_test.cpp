// Running a stretch of layers strip by strip gives the same numbers, and costs exactly what is said.
#include "micromind/lower/patches.h"

#include <gmock/gmock.h>

#include "deploy/every_operator.h"
#include "error_of.h"
#include "micromind/cost/count.h"
#include "micromind/memory/patch_search.h"
#include "micromind/memory/views.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

using testing::HasSubstr;

// Every operator that a stretch may hold, odd extents, branches, a residual with a halo; a head that may not.
Graph network(std::uint64_t seed) {
  Random random(seed, {1});
  const auto pick = [&](int low, int high) { return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1))); };
  Graph g("strips");
  int x = g.add_input("image", {3, pick(25, 33), pick(19, 23)});
  x = g.add("stem", Conv2d{.out_channels = 6, .kernel = pick(2, 4), .stride = 2, .padding = {pick(0, 1), pick(0, 2), 1, 1}, .activation = Function::relu6}, {x});
  x = g.add("deep", Conv2d{.out_channels = 6, .kernel = {3, 3}, .dilation = pick(1, 2), .padding = 0, .groups = 6}, {x});
  x = g.add("pad", Pad{{1, pick(1, 2), 0, 1}}, {x});
  x = g.add("swish", Activation{Function::hard_swish}, {x});
  x = g.add("expand", Conv2d{.out_channels = 8}, {x});
  const int split = g.add("split", Split{.axis = 0, .sizes = {5, 3}}, {x});
  const int a = g.add("a", Conv2d{.out_channels = 5, .kernel = 5, .padding = 2}, {split});
  const int b = g.add("b", MaxPool2d{.kernel = 3, .stride = 1, .padding = 1}, {split + 1});
  x = g.add("join", Concat{.axis = 0}, {a, b});
  x = g.add("scaled", Multiply{}, {x, x});
  int y = g.add("project", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1}, {x});
  x = g.add("residual", Add{}, {y, x});
  y = g.add("half", AvgPool2d{.kernel = 2, .stride = 2, .padding = 0}, {x});
  y = g.add("double", Upsample{2}, {y});
  x = g.add("last", Conv2d{.out_channels = 4, .kernel = 3, .stride = pick(1, 2), .padding = 1}, {y});
  g.add_output("mean", g.add("head", AdaptiveAvgPool2d{}, {x}));
  return g;
}

std::vector<std::int8_t> run(const Model& model, const std::vector<std::int8_t>& input) {
  Int8Executor executor(model);
  std::copy(input.begin(), input.end(), executor.input(0).begin());
  executor.run();
  const auto out = executor.output(0);
  return {out.begin(), out.end()};
}

TEST(Patches, EveryEndAndNumberOfStripsGivesTheSameBytesAtTheStatedCost) {
  int splits = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const Model model = quantize_randomly(network(seed), seed);
    const std::vector<std::int8_t> input = random_inputs(model, 1, seed)[0];
    const std::vector<std::int8_t> expected = run(model, input);
    for (const int last : patch_ends(model.graph)) {
      const std::int32_t height = model.graph.shape(model.graph.nodes()[static_cast<std::size_t>(last)].outputs[0])[1];
      for (const int strips : {2, 3, 5, static_cast<int>(height)}) {
        if (strips > height) continue;
        const Patches patches{.first = 0, .last = last, .strips = strips};
        Model split;
        try {
          split = split_rows(model, patches);
        } catch (const Error& e) {
          EXPECT_THAT(e.message(), HasSubstr("padding alone"));
          EXPECT_THROW(extra_macs(model.graph, patches), Error);
          continue;
        }
        EXPECT_EQ(run(split, input), expected) << "seed " << seed << ", to node " << last << ", " << strips << " strips";
        EXPECT_EQ(extra_macs(model.graph, patches), count_macs(split.graph) - count_macs(model.graph));
        ++splits;
      }
    }
  }
  EXPECT_GT(splits, 100);
}

TEST(Patches, AStretchEndsWhereNothingWithinIsReadFromBehind) {
  Graph g("ends");
  int x = g.add_input("image", {3, 16, 16});
  x = g.add("a", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {x});  // 0: read by "sum"
  int y = g.add("b", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {x});
  y = g.add("c", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {y});
  x = g.add("sum", Add{}, {x, y});
  x = g.add("d", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {x});
  g.add_output("kept", x);
  x = g.add("e", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {x});
  g.add_output("out", g.add("pool", AdaptiveAvgPool2d{}, {x}));
  const Graph l = lower(g).graph;
  EXPECT_EQ(patch_ends(l), (std::vector<int>{3, 4}));  // behind "d" stands an output
  EXPECT_TRUE(patch_ends(l, 6).empty());
  EXPECT_TRUE(patch_ends(l, 99).empty());
  EXPECT_THAT(error_of([&] { split_rows(l, {.first = 0, .last = 2, .strips = 2}); }), HasSubstr("a to c cannot run in strips"));
  EXPECT_THAT(error_of([&] { split_rows(l, {.first = 0, .last = 3, .strips = 1}); }), HasSubstr("expected 2 to 16 strips"));
  EXPECT_THAT(error_of([&] { split_rows(l, {.first = 0, .last = 3, .strips = 17}); }), HasSubstr("found 17"));
}

TEST(Patches, BandsAreViewsAndNeedNoMemoryOfTheirOwn) {
  Graph g("views");
  int x = g.add_input("image", {4, 32, 32});
  x = g.add("wide", Conv2d{.out_channels = 32, .kernel = 3, .padding = 1}, {x});
  x = g.add("narrow", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {x});
  x = g.add("swish", Activation{Function::hard_swish}, {x});
  g.add_output("out", x);
  const Graph whole = lower(g).graph;
  const SplitGraph split = split_rows(whole, {.first = 0, .last = 2, .strips = 4});
  const MemoryPlan plan = plan_memory(split.graph);
  // The result lies over rows of the image that no strip reads any more, but for two rows of the first band's; beside them
  // there is the widest strip between, 8 rows and one above and below; swish works in place within the result.
  EXPECT_EQ(plan.arena_bytes, 4 * 1024 + 2 * 128 + 32 * 32 * 10);
  EXPECT_EQ(plan_memory(split.graph, {.overlap = false}).arena_bytes, 2 * 4 * 1024 + 32 * 32 * 10);
  const std::vector<View> views = find_views(split.graph);
  for (std::size_t v = 0; v < views.size(); ++v) {
    const Placement &p = plan.placements[v], &host = plan.placements[static_cast<std::size_t>(views[v].host)];
    EXPECT_EQ(p.offset, host.offset + views[v].offset);
    EXPECT_LE(p.offset + p.bytes, host.offset + host.bytes);
  }
  Graph twice("twice");
  const int image = twice.add_input("image", {4, 4, 4});
  const int band = twice.add("conv", Conv2d{.out_channels = 4}, {image});
  twice.add_output("out", twice.add("join", JoinRows{}, {band, band}));
  EXPECT_THAT(error_of([&] { plan_memory(lower(twice).graph); }), HasSubstr("two places"));
  EXPECT_THAT(error_of([&] { twice.add("rows", TakeRows{.first = 3, .count = 2}, {band}); }), HasSubstr("not within"));
}

TEST(Patches, SearchFindsLeastRecomputationThatFits) {
  Graph g("search");
  int x = g.add_input("image", {3, 64, 64});
  for (int i = 0; i < 4; ++i)
    x = g.add("conv" + std::to_string(i), Conv2d{.out_channels = i == 0 ? 16 : 8, .kernel = 3, .stride = i % 2 + 1, .padding = 1}, {x});
  g.add_output("out", g.add("pool", AdaptiveAvgPool2d{}, {x}));
  const Graph l = lower(g).graph;
  const std::int64_t whole = plan_memory(l).arena_bytes;
  const auto smallest = search_patches(l, {});
  ASSERT_TRUE(smallest);
  EXPECT_LT(smallest->arena_bytes, whole / 2);
  EXPECT_EQ(smallest->arena_bytes, plan_memory(split_rows(l, smallest->patches).graph).arena_bytes);
  const std::int64_t limit = whole * 7 / 10;
  const auto cheap = search_patches(l, {.fits = [&](const MemoryPlan& p) { return p.arena_bytes <= limit; }});
  ASSERT_TRUE(cheap);
  EXPECT_LE(cheap->arena_bytes, limit);
  for (const int last : patch_ends(l))  // nothing cheaper fits
    for (int strips = 2; strips <= 8; ++strips) {
      const Patches p{.first = 0, .last = last, .strips = strips};
      if (extra_macs(l, p) < cheap->extra_macs) {
        EXPECT_GT(plan_memory(split_rows(l, p).graph).arena_bytes, limit);
      }
    }
  EXPECT_FALSE(search_patches(l, {.fits = [](const MemoryPlan& p) { return p.arena_bytes < 1000; }}));
}

}  // namespace
}  // namespace micromind
