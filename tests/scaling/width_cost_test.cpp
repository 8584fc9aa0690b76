#include "micromind/scaling/width_cost.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "micromind/base/random.h"
#include "micromind/base/reflect.h"
#include "micromind/cost/cost.h"
#include "micromind/networks/registry.h"
#include "micromind/scaling/lattice.h"
#include "micromind/scaling/search.h"

namespace micromind {
namespace {

struct Case {
  const char* family;
  Shape input;
  nlohmann::json space, options;
};

void PrintTo(const Case& c, std::ostream* os) { *os << c.family << " " << to_string(c.input) << " " << c.space << c.options; }

std::vector<Case> cases() {
  using nlohmann::json;
  return {
      {"phinet", {3, 96, 96}, json::object(), json::object()},
      {"phinet", {1, 31, 47}, {{"num_layers", {3, 4, 7, 9}}, {"squeeze_excite", {true, false}}, {"h_swish", {false, true}}}, {{"divisor", 8}}},
      {"phinet", {3, 64, 64}, {{"alpha", {0.05, 0.3}}, {"downsampling_layers", {{4, 5, 7}}}}, {{"divisor", 3}, {"residuals", true}}},
      {"phinet", {3, 64, 64}, {{"resolution", {48, 64}}}, {{"pool", true}}},
      {"phinet", {3, 64, 64}, json::object(), {{"conv2d_input", true}}},
      {"phinet", {3, 64, 64}, json::object(), {{"compatibility", true}, {"conv5_percent", 0.5}}},
      {"xinet", {3, 96, 96}, {{"gamma", {1, 2, 4, 5}}}, json::object()},
      {"xinet", {3, 80, 112}, {{"paper_widths", {true, false}}}, json::object()},
      {"mobilenet-v2", {3, 96, 96}, {{"resolution", {96, 128}}}, json::object()},
      {"mobilenet-v2", {1, 64, 64}, json::object(), {{"divisor", 1}}},
      {"efficientnet", {3, 128, 128}, json::object(), json::object()},
  };
}

Lattice lattice_of(const Case& c) {
  Space space = default_space(c.family, c.input);
  narrow(space, c.space, "test");
  return make_lattice(c.family, c.input, 7, space, c.options);
}

class WidthCosts : public testing::TestWithParam<Case> {};

// Random networks of the lattice: named, built by the family itself, lowered, planned and costed, they have the widths that
// the lattice says and cost what the widths say.
TEST_P(WidthCosts, AreThoseOfTheBuiltNetwork) {
  const Lattice lattice = lattice_of(GetParam());
  Random random(7);
  int compared = 0, residuals = 0;
  for (int draw = 0; draw < 60; ++draw) {
    const auto index = random.below(static_cast<std::uint32_t>(lattice.configurations.size()));
    // One configuration, its region cut at random down to a network.
    Lattice one;
    one.structures = lattice.structures;
    one.configurations = {lattice.configurations[index]};
    int skip = static_cast<int>(random.below(200));
    Found found;
    for_each_network(one, [&](const Found& f) {
      found = f;
      return skip-- > 0;
    });
    if (!found.any()) continue;
    const nlohmann::json options = name_network(lattice, lattice.configurations[index], found.cell, found.widths);
    if (options.empty()) continue;  // at the very end of a range
    const Graph network = build_network(GetParam().family, options);
    const Lowered lowered = lower(network, {.order = false});
    const Cost cost = estimate_cost(network, lowered, {.overlap = false});
    EXPECT_LE(estimate_cost(network, lower(network)).peak_ram_bytes, cost.peak_ram_bytes) << options;
    ++compared;
    for (const Node& node : network.nodes()) residuals += node.name.ends_with(".add");
    EXPECT_EQ(found.use[kMacs], static_cast<double>(cost.macs)) << options;
    EXPECT_EQ(found.use[kFlash], static_cast<double>(cost.flash_bytes)) << options;
    EXPECT_EQ(found.use[kRam], static_cast<double>(cost.plan.lower_bound_bytes)) << options;
  }
  EXPECT_GT(compared, 30);
  if (GetParam().family != std::string("xinet")) {
    EXPECT_GT(residuals, 0);
  }
}

// The relaxation is the exact cost without rounding: for the same widths a little less, never more than the rounding.
TEST_P(WidthCosts, RelaxToPolynomials) {
  const Lattice lattice = lattice_of(GetParam());
  for (const std::size_t index : {std::size_t{0}, lattice.configurations.size() / 2, lattice.configurations.size() - 1}) {
    const Configuration& c = lattice.configurations[index];
    const Structure& s = lattice.structures[static_cast<std::size_t>(c.structure)];
    auto whole = s.cost->variables<std::int64_t>();
    auto real = s.cost->variables<double>();
    std::vector<int> rounded;
    for (std::size_t f = 0; f < c.forms.size(); ++f) rounded.push_back(s.roundings[f](c.forms[f](c.region.centre())));
    slot_widths(s, c, rounded, whole);
    for (std::size_t i = 0; i < s.cost->slots(); ++i) real[i] = static_cast<double>(whole[i]);
    const Resources<double> exact = s.cost->evaluate(whole), relaxed = s.cost->relax<double>(real);
    EXPECT_EQ(relaxed[kMacs], exact[kMacs]);
    EXPECT_GE(relaxed[kFlash], exact[kFlash] * 0.94);  // fours of outputs, words of rows
    EXPECT_LE(relaxed[kFlash], exact[kFlash]);
    EXPECT_GE(relaxed[kRam], exact[kRam] - 40);
    EXPECT_LE(relaxed[kRam], exact[kRam] * 1.08);  // 100 steps to the power of 1/64
  }
}

INSTANTIATE_TEST_SUITE_P(Families, WidthCosts, testing::ValuesIn(cases()));

TEST(WidthCost, GrowsWithEveryWidth) {
  const Lattice lattice = lattice_of(cases()[0]);
  const Configuration& c = lattice.configurations[lattice.configurations.size() / 2];
  const Structure& s = lattice.structures[static_cast<std::size_t>(c.structure)];
  auto x = s.cost->variables<std::int64_t>();
  for (std::size_t i = 0; i < s.cost->slots(); ++i) x[i] = 8;
  const Resources<double> before = s.cost->evaluate(x);
  for (std::size_t i = 0; i < s.cost->slots(); ++i) {
    x[i] = 9;
    const Resources<double> after = s.cost->evaluate(x);
    x[i] = 8;
    for (const int r : {kRam, kFlash, kMacs}) EXPECT_GE(after[static_cast<std::size_t>(r)], before[static_cast<std::size_t>(r)]) << i;
  }
}

}  // namespace
}  // namespace micromind
