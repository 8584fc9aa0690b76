// XiNet with the paper's beta: widths are rounded from xinet_channels(), linear in S = alpha and T = beta · alpha; gamma and
// the depth are whole numbers. No residual depends on equal widths: a structure is a choice.
#include "micromind/networks/xinet.h"

#include "micromind/scaling/families/families.h"

namespace micromind {
namespace {

using nlohmann::json;

// What xinet_channels() is at S, T.
LinearForm form_of(XiNetOptions o, int index) {
  o.alpha = 1;
  o.beta = 0;
  const double of_s = xinet_channels(o, index);
  o.beta = 1;
  return {of_s, xinet_channels(o, index) - of_s};
}

Structure structure_of(const XiNetOptions& o, const LatticeRequest& request) {
  Structure s;
  const int convs = 2 * (o.num_layers - 1);
  for (int index = -1; index < convs; ++index) {
    const bool last_two = index >= convs - 2;
    const int form = index + 1, gamma = last_two ? 4 : static_cast<int>(o.gamma);
    const bool paper = o.paper_widths && index > 0;
    s.roundings.push_back({.kind = paper ? Rounding::Kind::ceil : Rounding::Kind::floor, .unit = paper ? 4 : 1});
    if (index >= 0 && gamma > 1) s.rules.push_back({.form = form, .by = gamma});
    s.rules.push_back({.form = form});
    if (index >= 0 && !last_two) s.rules.push_back({.form = form, .by = 2 * gamma});
  }
  std::vector<int> probe;
  for (std::size_t i = 0; i < s.rules.size(); ++i) probe.push_back(probe_width(static_cast<int>(i)));
  s.cost = std::make_shared<WidthCost>(xinet_with_widths(o, probe), probe, request.cycles);
  return s;
}

}  // namespace

Space xinet_space(const Shape& input) {
  Knob layers{.name = "num_layers", .about = "stages; each halves the image"}, gamma{.name = "gamma", .about = "compression of the main convolutions"};
  for (int n = 3; n <= 7; ++n) layers.choices.push_back(n);
  for (int n = 2; n <= 8; ++n) gamma.choices.push_back(n);
  return {{.name = "alpha", .real = true, .low = 0.1, .high = 3, .about = "width multiplier"},
          {.name = "beta", .real = true, .low = 0.5, .high = 2, .about = "width of the last XiConv over what alpha makes it: parameters against operations"},
          layers,
          gamma,
          resolution_knob(input),
          {.name = "paper_widths", .choices = {true}, .about = "widths of the paper, which beta scales, or of the Python package"}};
}

Lattice xinet_lattice(const LatticeRequest& request) {
  Lattice lattice;
  auto family = std::make_unique<OptionsFamily<XiNetOptions>>("xinet", xinet_widths, [](json& o, const Configuration&, double s, double ratio) {
    o["alpha"] = s;
    if (o["paper_widths"].get<bool>()) o["beta"] = ratio;
  });
  const Knob &alpha = request.knob("alpha"), &beta = request.knob("beta");
  std::optional<Error> refused;
  family->choices = request.choices();
  for (int choice = 0; choice < static_cast<int>(family->choices.size()); ++choice) {
    stop_if_interrupted();
    const XiNetOptions o = family->choice(choice);
    try {
      Configuration c{.structure = static_cast<int>(lattice.structures.size()), .choice = choice};
      c.one_knob = !o.paper_widths;
      c.region = o.paper_widths ? knob_region(alpha, beta) : knob_region(alpha);
      for (int index = -1; index < 2 * (o.num_layers - 1); ++index) {
        const LinearForm form = form_of(o, index);
        const double unit = o.paper_widths && index > 0 ? 4 : 1;
        c.forms.push_back({form.s / unit, form.t / unit});
      }
      lattice.structures.push_back(structure_of(o, request));
      lattice.configurations.push_back(std::move(c));
    } catch (const Error& e) {
      refused = e;
    }
  }
  lattice.family = std::move(family);
  lattice.limits = {alpha.low, alpha.high, beta.low, beta.high};
  need_networks(lattice, refused);
  return lattice;
}

}  // namespace micromind
