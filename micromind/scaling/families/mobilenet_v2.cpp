// MobileNetV2: one knob, the width multiplier alpha, and the image size from a set. S = alpha.
#include "micromind/networks/mobilenet.h"

#include "micromind/scaling/families/families.h"

namespace micromind {
namespace {

using nlohmann::json;

constexpr int kBlocks = 17;

// Slots: stem; block 0; then expanded and out of the blocks 1 to 16; last. The forms are those of the outputs.
std::vector<SlotRule> rules(int last_form) {
  std::vector<SlotRule> list = {{.form = 0}, {.form = 1}};
  for (int block = 1; block < kBlocks; ++block) {
    list.push_back({.form = block, .times = 6});
    list.push_back({.form = block + 1});
  }
  list.push_back({.form = last_form});
  return list;
}

// Slots between which a residual can stand: all outputs but the last convolution's.
std::vector<int> outputs() {
  std::vector<int> slots = {0, 1};
  for (int block = 1; block < kBlocks; ++block) slots.push_back(2 * block + 1);
  return slots;
}

// Channels at alpha 1, before rounding.
std::vector<LinearForm> forms(bool wide) {
  const std::vector<int> filters = mobilenet_v2_widths({.alpha = 1, .divisor = 1});
  std::vector<LinearForm> list;
  for (const int slot : outputs()) list.push_back({static_cast<double>(filters[static_cast<std::size_t>(slot)]), 0});
  if (wide) list.push_back({static_cast<double>(filters.back()), 0});
  return list;
}

}  // namespace

Space mobilenet_v2_space(const Shape& input) {
  return {{.name = "alpha", .real = true, .low = 0.1, .high = 2, .about = "width multiplier"}, resolution_knob(input)};
}

Lattice mobilenet_v2_lattice(const LatticeRequest& request) {
  Lattice lattice;
  auto family = std::make_unique<OptionsFamily<MobileNetV2Options>>(
      "mobilenet-v2", mobilenet_v2_widths, [](json& o, const Configuration&, double s, double) { o["alpha"] = s; });
  StructureCache structures;
  const Knob& alpha = request.knob("alpha");
  std::optional<Error> refused;
  family->choices = request.choices();
  for (int choice = 0; choice < static_cast<int>(family->choices.size()); ++choice) {
    MobileNetV2Options o = family->choice(choice);
    const auto widths_at = [&](double s) {
      o.alpha = s;
      return mobilenet_v2_widths(o);
    };
    try {
      for (const Stretch& stretch : equal_stretches(alpha.low, alpha.high, widths_at, {outputs()})) {
        // The last convolution never shrinks below 1280: below alpha 1 it is no form.
        for (const bool wide : {false, true}) {
          const double low = wide ? std::max(stretch.low, 1.0) : stretch.low, high = wide ? stretch.high : std::min(stretch.high, 1.0);
          if (!(low <= high) || (wide && high <= 1)) continue;
          const std::vector<int> widths = widths_at(0.5 * (low + high));
          Configuration c{.forms = forms(wide), .fixed = widths, .region = knob_region(low, high, alpha.high), .choice = choice, .one_knob = true};
          const auto build = [&](std::span<const int> probe) {
            Structure s{std::make_shared<WidthCost>(mobilenet_v2_with_widths(o, probe), probe, request.cycles), {}, rules(wide ? kBlocks + 1 : -1)};
            s.roundings.assign(c.forms.size(), {.kind = Rounding::Kind::divisible, .divisor = o.divisor});
            return s;
          };
          c.structure = structures.find(2 * choice + wide, stretch.key, build, lattice);
          lattice.configurations.push_back(std::move(c));
        }
      }
    } catch (const Error& e) {
      refused = e;
    }
  }
  lattice.family = std::move(family);
  lattice.limits = {alpha.low, alpha.high, 0, 1};
  need_networks(lattice, refused);
  return lattice;
}

}  // namespace micromind
