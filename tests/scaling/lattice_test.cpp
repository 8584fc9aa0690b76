#include "micromind/scaling/lattice.h"

#include <gtest/gtest.h>

#include "micromind/cost/cost.h"
#include "micromind/networks/registry.h"
#include "micromind/scaling/search.h"

namespace micromind {
namespace {

using nlohmann::json;

// The options that name a cell build a network that costs what the search took the cell for, at the edges of structures too.
TEST(Lattice, NamesAreOfNetworksWithTheCellsCosts) {
  const std::vector<std::pair<std::string, json>> lattices = {
      {"mobilenet-v2", json::object()},
      {"efficientnet", json::object()},
      {"phinet", {{"alpha", {0.2, 0.25}}, {"t_zero", {2, 3}}, {"num_layers", {4, 5}}}},
      {"xinet", {{"alpha", {0.2, 0.4}}, {"num_layers", {4, 5}}}},
  };
  for (const auto& [family, wishes] : lattices) {
    Space space = default_space(family, {3, 64, 64});
    narrow(space, wishes, "test");
    const Lattice lattice = make_lattice(family, {3, 64, 64}, 10, space);
    int named = 0;
    for_each_network(lattice, [&](const Found& f) {
      const json options = name_network(lattice, lattice.configurations[static_cast<std::size_t>(f.configuration)], f.cell, f.widths);
      if (options.empty()) return true;
      const Graph network = build_network(family, options);
      const Cost cost = estimate_cost(network, lower(network, {.order = false}), {.overlap = false});
      EXPECT_EQ(static_cast<double>(cost.macs), f.use[kMacs]) << family << " " << options;
      EXPECT_EQ(static_cast<double>(cost.flash_bytes), f.use[kFlash]) << family << " " << options;
      EXPECT_GE(static_cast<double>(cost.peak_ram_bytes), f.use[kRam]) << family << " " << options;
      return ++named < 3000;
    });
    EXPECT_GT(named, 100) << family;
  }
}

// A knob fixed at any value is the network that the family builds there, also where rounding is on a threshold.
TEST(Lattice, FixedKnobsAreTheFamilysOwnNetwork) {
  struct Fixed {
    const char* family;
    std::vector<nlohmann::json> spaces;
  };
  std::vector<Fixed> cases = {{"mobilenet-v2", {}}, {"efficientnet", {}}, {"phinet", {}}, {"xinet", {}}};
  for (const double alpha : {0.35, 0.5, 1.0, 1.1, 1.7, 2.0}) cases[0].spaces.push_back({{"alpha", alpha}});
  for (const double phi : {-7.3, -2.0, 0.0, 0.3, 1.0}) cases[1].spaces.push_back({{"phi", phi}});
  for (const double alpha : {0.35, 1.1, 1.7, 2.3})
    for (const double t_zero : {4.0, 5.7, 6.0})
      for (const double beta : {0.7, 0.75, 1.0}) cases[2].spaces.push_back({{"alpha", alpha}, {"t_zero", t_zero}, {"beta", beta}, {"num_layers", 7}});
  for (const double alpha : {0.4, 1.0, 2.0})
    for (const double beta : {0.5, 1.0, 1.7}) cases[3].spaces.push_back({{"alpha", alpha}, {"beta", beta}});
  cases[3].spaces.push_back({{"paper_widths", false}, {"alpha", 0.8}, {"beta", 2}});
  for (const Fixed& f : cases)
    for (const nlohmann::json& wishes : f.spaces) {
      const Shape input{3, 96, 96};
      Space space = default_space(f.family, input);
      narrow(space, wishes, "test");
      const Lattice lattice = make_lattice(f.family, input, 10, space);
      int networks = 0;
      for_each_network(lattice, [&](const Found& found) {
        ++networks;
        const nlohmann::json options = name_network(lattice, lattice.configurations[static_cast<std::size_t>(found.configuration)], found.cell, found.widths);
        EXPECT_FALSE(options.empty()) << f.family << wishes;
        for (const auto& [knob, value] : wishes.items())
          if (options.contains(knob) && !(knob == "beta" && wishes.contains("paper_widths"))) {
            EXPECT_EQ(options[knob], value) << f.family << wishes;
          }
        return true;
      });
      EXPECT_GT(networks, 0) << f.family << wishes;
    }
}

}  // namespace
}  // namespace micromind
