#include "micromind/scaling/families/families.h"

#include <algorithm>
#include <cmath>

#include "micromind/base/interrupt.h"

namespace micromind {
namespace {

constexpr double kClosed = 1 + 1e-8;

}  // namespace

const Knob& LatticeRequest::knob(std::string_view name) const {
  const auto found = std::find_if(space.begin(), space.end(), [&](const Knob& k) { return k.name == name; });
  if (found == space.end()) fail("design", "the space has no knob '{}'", name);
  return *found;
}

Shape LatticeRequest::input_at(int resolution) const {
  const int longer = std::max(input.height(), input.width());
  const auto scaled = [&](int side) { return std::max(1, static_cast<int>(std::lround(static_cast<double>(side) * resolution / longer))); };
  return {input.channels(), scaled(input.height()), scaled(input.width())};
}

Knob resolution_knob(const Shape& input) {
  return {.name = "resolution", .choices = {std::max(input.height(), input.width())}, .about = "longer side of the image in pixels"};
}

Polygon knob_region(const Knob& s, const Knob& ratio) { return Polygon::trapezoid(s.low, s.high * kClosed, ratio.low, ratio.high * kClosed); }

Polygon knob_region(double low, double high, double end) { return Polygon::trapezoid(low, high < end ? high : high * kClosed, 0.5, 1); }

std::vector<nlohmann::json> LatticeRequest::choices() const {
  std::vector<nlohmann::json> all = {fixed};
  for (const Knob& knob : space) {
    if (knob.real) continue;
    std::vector<nlohmann::json> longer;
    for (const nlohmann::json& options : all)
      for (const nlohmann::json& value : knob.choices) {
        longer.push_back(options);
        longer.back()[knob.name] = value;
      }
    all = std::move(longer);
  }
  for (nlohmann::json& options : all) {
    Shape shape = input;
    if (options.contains("resolution")) {
      const nlohmann::json& side = options["resolution"];
      if (!side.is_number_integer() || side < 1 || side > 16384) fail("design", "resolution = {}: expected 1 to 16384 pixels", side.dump());
      shape = input_at(side);
      options.erase("resolution");
    }
    options["input_shape"] = std::vector<int>(shape.begin(), shape.end());
    options["include_top"] = true;
    options["num_classes"] = classes;
  }
  return all;
}

void stop_if_interrupted() {
  if (interrupted()) throw Interrupted("design", "stopped");
}

void need_networks(const Lattice& lattice, const std::optional<Error>& refused) {
  if (!lattice.configurations.empty()) return;
  if (!refused) fail_with_hint("design", "widen the knobs (--space)", "the space holds no network");
  throw Error("design", fmt::format("the space holds no network: [{}] {}", refused->where(), refused->message()),
              refused->hint().empty() ? "widen the knobs (--space), or use a larger image" : refused->hint());
}

std::vector<int> width_groups(std::span<const int> widths, std::span<const std::vector<int>> sets) {
  std::vector<int> groups(widths.size());
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<int>(i);
  for (const std::vector<int>& set : sets)
    for (const int a : set)
      for (const int b : set)
        if (b < a && widths[static_cast<std::size_t>(a)] == widths[static_cast<std::size_t>(b)])
          groups[static_cast<std::size_t>(a)] = std::min(groups[static_cast<std::size_t>(a)], groups[static_cast<std::size_t>(b)]);
  return groups;
}

}  // namespace micromind
