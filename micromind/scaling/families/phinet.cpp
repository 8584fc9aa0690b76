// PhiNet: for one depth and one alpha the outputs of all blocks are fixed, and the expansions are
//   e_id = round(⌊c_id · (t0 · (N − id)/N + beta · t0 · id/N)⌋)
// linear in S = t_zero and T = beta · t_zero. All outputs follow from one whole number: they are ⌊F · alpha⌋ for filters F
// that are powers of two times the smallest, so ⌊F_max · alpha⌋ decides every other. The lattice has one configuration for
// each value of it that changes a width.
#include "micromind/networks/phinet.h"

#include <algorithm>
#include <cmath>

#include "micromind/scaling/families/families.h"

namespace micromind {
namespace {

using nlohmann::json;

struct Slots {
  std::vector<SlotRule> rules;
  std::vector<int> outputs;  // stem, block 0 and every block's out: where these meet, a residual can stand
};

Slots slots_of(const PhiNetOptions& o) {
  Slots s;
  const auto output = [&] {
    s.outputs.push_back(static_cast<int>(s.rules.size()));
    s.rules.emplace_back();
  };
  if (!o.conv2d_input) output();
  output();
  for (int form = 0; form < std::max(3, o.num_layers); ++form) {
    s.rules.push_back({.form = form});
    if (o.squeeze_excite && !o.compatibility) s.rules.push_back({.form = form, .by = 6, .least = 1, .divisor = o.divisor});
    output();
  }
  return s;
}

// Of the expansions, where the network has these widths.
std::vector<LinearForm> forms_of(const PhiNetOptions& o, const Slots& slots, const std::vector<int>& widths) {
  std::vector<LinearForm> forms;
  for (int id = 1; id <= std::max(3, o.num_layers); ++id) {
    const int in = widths[static_cast<std::size_t>(slots.outputs[static_cast<std::size_t>(id - (o.conv2d_input ? 1 : 0))])];
    const double share = static_cast<double>(id) / o.num_layers;
    forms.push_back({in * (1 - share), in * share});
  }
  return forms;
}

void write_knobs(json& options, const Configuration& c, double s, double ratio) {
  options["alpha"] = c.alpha;
  options["t_zero"] = s;
  options["beta"] = ratio;
}

class PhiNetFamily : public OptionsFamily<PhiNetOptions> {
 public:
  PhiNetFamily() : OptionsFamily("phinet", phinet_widths, write_knobs) {}
  Configuration unrounded(const Configuration& c) const override {
    PhiNetOptions o = choice(c.choice);
    const Slots slots = slots_of(o);
    o.alpha = 1;
    o.divisor = 1;
    Configuration smooth = c;
    smooth.alpha = 1;
    smooth.fixed = phinet_widths(o);
    smooth.forms = forms_of(o, slots, smooth.fixed);
    return smooth;
  }
};

// The most channels of an output at alpha 1.
int most_filters(PhiNetOptions o, const Slots& slots) {
  o.alpha = 1;
  o.divisor = 1;
  const std::vector<int> widths = phinet_widths(o);
  int filters = 0;
  for (const int slot : slots.outputs) filters = std::max(filters, widths[static_cast<std::size_t>(slot)]);
  return filters;
}

}  // namespace

Space phinet_space(const Shape& input) {
  Knob layers{.name = "num_layers", .about = "convolutional blocks"};
  for (int n = 4; n <= 9; ++n) layers.choices.push_back(n);
  return {{.name = "alpha", .real = true, .low = 0.1, .high = 3, .about = "width multiplier: operations"},
          {.name = "beta", .real = true, .low = 0.5, .high = 1.5, .about = "expansion of the last block over that of the first: flash"},
          {.name = "t_zero", .real = true, .low = 2, .high = 8, .about = "expansion of the first block: RAM"},
          layers,
          {.name = "downsampling_layers", .choices = {{5, 7}, {4, 5, 7}}, .about = "blocks that halve the image and double the width"},
          resolution_knob(input),
          {.name = "squeeze_excite", .choices = {true}, .about = "squeeze-and-excite in every block"},
          {.name = "h_swish", .choices = {true}, .about = "h-swish, or ReLU6"}};
}

Lattice phinet_lattice(const LatticeRequest& request) {
  Lattice lattice;
  auto family = std::make_unique<PhiNetFamily>();
  StructureCache structures;
  const Knob &alpha = request.knob("alpha"), &t_zero = request.knob("t_zero"), &beta = request.knob("beta");
  std::optional<Error> refused;
  family->choices = request.choices();
  for (int choice = 0; choice < static_cast<int>(family->choices.size()); ++choice) {
    PhiNetOptions o = family->choice(choice);
    const Slots slots = slots_of(o);
    const double filters = most_filters(o, slots);
    std::vector<int> last;
    for (int n = static_cast<int>(filters * alpha.low); n <= static_cast<int>(filters * alpha.high); ++n) {
      const double low = std::max(alpha.low, n / filters), high = std::max(low, std::min(alpha.high, (n + 1) / filters));
      o.alpha = low == high ? low : shortest_decimal(low, high);
      std::vector<int> widths;
      try {
        widths = phinet_widths(o);
        std::vector<int> outputs;
        for (const int slot : slots.outputs) outputs.push_back(widths[static_cast<std::size_t>(slot)]);
        if (outputs == last) continue;
        last = std::move(outputs);
        const auto build = [&](std::span<const int> probe) {
          Structure s{std::make_shared<WidthCost>(phinet_with_widths(o, probe), probe, request.cycles), {}, slots.rules};
          s.roundings.assign(static_cast<std::size_t>(std::max(3, o.num_layers)), {.divisor = o.divisor});
          return s;
        };
        Configuration c{.region = knob_region(t_zero, beta), .choice = choice, .alpha = o.alpha};
        c.structure = structures.find(choice, width_groups(widths, std::vector<std::vector<int>>{slots.outputs}), build, lattice);
        c.fixed = widths;
        c.forms = forms_of(o, slots, widths);
        lattice.configurations.push_back(std::move(c));
      } catch (const Error& e) {
        refused = e;
        break;  // too small an image for this structure: for every alpha
      }
    }
  }
  lattice.family = std::move(family);
  lattice.limits = {t_zero.low, t_zero.high, beta.low, beta.high, alpha.low, alpha.high};
  need_networks(lattice, refused);
  return lattice;
}

}  // namespace micromind
