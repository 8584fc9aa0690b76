// EfficientNet's compound scaling: one knob, phi, moves depth (1.2^phi), width (1.1^phi) and resolution (1.15^phi) together.
// Where depth and resolution stay, only the widths move: S = 1.1^phi, the width multiplier.
#include "micromind/networks/efficientnet.h"

#include <cmath>

#include "micromind/scaling/families/families.h"

namespace micromind {
namespace {

using nlohmann::json;

struct Slots {
  std::vector<SlotRule> rules;
  std::vector<LinearForm> forms;
  std::vector<int> outputs;  // stem and every block's out: where these meet, a residual can stand
};

// Reads the slots off the channels at width 1: behind a block's input of c channels comes 6·c where the block expands, then
// the squeezed c/4, then its output.
Slots slots_of(EfficientNetOptions o) {
  o.width = 1;
  o.divisor = 1;
  const std::vector<int> filters = efficientnet_widths(o);
  Slots s;
  const auto output = [&](int channels) {
    s.outputs.push_back(static_cast<int>(s.rules.size()));
    s.rules.push_back({.form = static_cast<int>(s.forms.size())});
    s.forms.push_back({static_cast<double>(channels), 0});
  };
  output(filters[0]);
  std::size_t i = 1;
  while (i + 1 < filters.size()) {
    const int in = static_cast<int>(s.forms.back().s), form = static_cast<int>(s.forms.size()) - 1;
    if (filters[i] == 6 * in) {
      s.rules.push_back({.form = form, .times = 6});
      ++i;
    }
    s.rules.push_back({.form = form, .by = 4, .least = 1});
    output(filters[i + 1]);
    i += 2;
  }
  output(filters.back());
  s.outputs.pop_back();
  return s;
}

class EfficientNetFamily : public OptionsFamily<EfficientNetOptions> {
 public:
  EfficientNetFamily()
      : OptionsFamily("efficientnet", efficientnet_widths, [](json& o, const Configuration&, double s, double) { o["width"] = s; }) {}
  std::optional<double> knob(const std::string&, const json& options) const override {
    return std::log(options.at("width").get<double>()) / std::log(1.1);  // phi
  }
};

}  // namespace

Space efficientnet_space(const Shape&) {
  return {{.name = "phi", .real = true, .low = -16, .high = 7, .about = "compound coefficient; 0 is B0 at the input's size"}};
}

Lattice efficientnet_lattice(const LatticeRequest& request) {
  Lattice lattice;
  auto family = std::make_unique<EfficientNetFamily>();
  StructureCache structures;
  for (const char* key : {"width", "depth"})
    if (request.fixed.contains(key)) fail_with_hint("design", "compound scaling moves depth, width and resolution together; --space phi=… is its range", "'{}' follows from phi", key);
  const Knob& phi = request.knob("phi");
  const EfficientNetOptions base = family->read(request.choices().front());
  const auto shape_at = [&](double at) {
    const EfficientNetOptions o = compound_scaled(base, at);
    return std::vector<int>{static_cast<int>(efficientnet_widths(o).size()), o.input.height(), o.input.width()};
  };
  for (const Stretch& same : stretches(phi.low, phi.high, shape_at)) {
    const double middle = 0.5 * (same.low + same.high);
    EfficientNetOptions o = compound_scaled(base, middle);
    if (const double depth = shortest_decimal(base.depth * std::pow(1.2, same.low) + 1e-9, base.depth * std::pow(1.2, same.high) - 1e-9); depth > 0) o.depth = depth;
    const int choice = static_cast<int>(family->choices.size());
    family->choices.push_back(members_to_json(o));
    const Slots slots = slots_of(o);
    const auto widths_at = [&](double s) {
      o.width = s;
      return efficientnet_widths(o);
    };
    const double end = std::pow(1.1, same.high);
    for (const Stretch& stretch : equal_stretches(std::pow(1.1, same.low), end, widths_at, {slots.outputs})) {
      const auto build = [&](std::span<const int> probe) {
        Structure s{std::make_shared<WidthCost>(efficientnet_with_widths(o, probe), probe, request.cycles), {}, slots.rules};
        s.roundings.assign(slots.forms.size(), {.kind = Rounding::Kind::divisible, .divisor = o.divisor});
        return s;
      };
      Configuration c{.forms = slots.forms, .region = knob_region(stretch.low, stretch.high, end), .choice = choice, .one_knob = true};
      c.structure = structures.find(choice, stretch.key, build, lattice);
      lattice.configurations.push_back(std::move(c));
    }
  }
  lattice.family = std::move(family);
  lattice.limits = {std::pow(1.1, phi.low), std::pow(1.1, phi.high), 0, 1};
  need_networks(lattice);
  return lattice;
}

}  // namespace micromind
