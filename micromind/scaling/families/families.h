// The families that can be scaled, one file each, and what their files share.
#pragma once

#include <map>

#include "micromind/base/error.h"
#include "micromind/base/reflect.h"
#include "micromind/scaling/lattice.h"

namespace micromind {

struct LatticeRequest {
  Shape input;
  int classes = 0;
  const Space& space;
  const nlohmann::json& fixed;  ///< options of the family that are no knobs
  const LayerCyclesOf& cycles;

  const Knob& knob(std::string_view name) const;
  Shape input_at(int resolution) const;  ///< the input with this longer side, its aspect kept
  /// Every combination of the knobs that are choices, with the fixed options, as options of a classifier: the knob
  /// "resolution" has become its input_shape.
  std::vector<nlohmann::json> choices() const;
};

/// A family whose options are a struct: the choices as JSON, and how the two knobs of the plane are written into them.
template <class Options>
class OptionsFamily : public Family {
 public:
  using Widths = std::vector<int>(const Options&);
  using Write = void(nlohmann::json& options, const Configuration&, double s, double ratio);
  OptionsFamily(const char* name, Widths* widths_of, Write* write) : name_(name), widths_(widths_of), write_(write) {}

  nlohmann::json options(const Configuration& c, double s, double ratio) const override {
    nlohmann::json all = choices[static_cast<std::size_t>(c.choice)];
    write_(all, c, s, ratio);
    return all;
  }
  std::vector<int> widths(const nlohmann::json& values) const override { return widths_(read(values)); }

  Options read(const nlohmann::json& values) const {
    Options o;
    members_from_json(values, o, name_);
    return o;
  }
  Options choice(int index) const { return read(choices[static_cast<std::size_t>(index)]); }

  std::vector<nlohmann::json> choices;

 private:
  const char* name_;
  Widths* widths_;
  Write* write_;
};

/// The knob "resolution": the input's own side unless the user gives others.
Knob resolution_knob(const Shape& input);

Space phinet_space(const Shape& input);
Lattice phinet_lattice(const LatticeRequest& request);
Space xinet_space(const Shape& input);
Lattice xinet_lattice(const LatticeRequest& request);
Space mobilenet_v2_space(const Shape& input);
Lattice mobilenet_v2_lattice(const LatticeRequest& request);
Space efficientnet_space(const Shape& input);
Lattice efficientnet_lattice(const LatticeRequest& request);

/// Region of the plane for two knobs. The upper ends are widened by 1e-8, so that they belong to the range and a fixed
/// value is a strip with an inside.
Polygon knob_region(const Knob& s, const Knob& ratio);
/// For one knob: the other axis means nothing. A stretch that ends below the knob's own `end` is not widened: beyond it
/// other widths are equal, and its structure costs something else.
Polygon knob_region(double low, double high, double end);
inline Polygon knob_region(const Knob& s) { return knob_region(s.low, s.high, s.high); }

/// Throws Error when the lattice is empty; `refused` is what the family said.
void need_networks(const Lattice& lattice, const std::optional<Error>& refused = std::nullopt);

/// Throws Interrupted when the user wants to stop.
void stop_if_interrupted();

/// Slots whose widths are equal and stand in one of the `sets` (of slots between which a residual could stand) get one
/// group; every other slot its own.
std::vector<int> width_groups(std::span<const int> widths, std::span<const std::vector<int>> sets);

/// A width that no extent of a graph is by chance: above every limit on inputs and classes.
constexpr int probe_width(int group) { return 1'000'003 + 2 * group; }

/// A range of one knob in which something does not change.
struct Stretch {
  double low = 0, high = 0;
  std::vector<int> key;
};

/// Cuts [low, high] where key_at changes. Every number of the key grows (or falls) with the knob, so that equal ends mean
/// nothing changes in between.
template <class KeyAt>
std::vector<Stretch> stretches(double low, double high, const KeyAt& key_at) {
  std::vector<Stretch> list;
  const auto halve = [&](const auto& self, double from, double to, const std::vector<int>& first, const std::vector<int>& last) -> void {
    const double middle = 0.5 * (from + to);
    if (first == last) {
      if (!list.empty() && list.back().key == first) list.back().high = to;
      else list.push_back({from, to, first});
      return;
    }
    if (to - from < 1e-12 || middle <= from || middle >= to) return;  // a threshold: both sides are noted by their neighbours
    const std::vector<int> between = key_at(middle);
    self(self, from, middle, first, between);
    self(self, middle, to, between, last);
  };
  halve(halve, low, high, key_at(low), key_at(high));
  return list;
}

/// The stretches of one knob in which the same slots are equal: their keys are width_groups().
template <class WidthsAt>
std::vector<Stretch> equal_stretches(double low, double high, const WidthsAt& widths_at, const std::vector<std::vector<int>>& sets) {
  std::vector<Stretch> list;
  for (Stretch& s : stretches(low, high, widths_at)) {
    std::vector<int> groups = width_groups(s.key, sets);
    if (!list.empty() && list.back().key == groups) list.back().high = s.high;
    else list.push_back({s.low, s.high, std::move(groups)});
  }
  return list;
}

/// Structures are made once for every choice and every pattern of equal widths: a residual stands where two widths meet.
class StructureCache {
 public:
  /// `build` gets one probe a slot, equal for slots of the same group.
  template <class Build>
  int find(int choice, const std::vector<int>& groups, const Build& build, Lattice& lattice) {
    stop_if_interrupted();
    const auto [it, added] = known_.try_emplace({choice, groups}, static_cast<int>(lattice.structures.size()));
    if (added) {
      std::vector<int> probe;
      for (const int g : groups) probe.push_back(probe_width(g));
      lattice.structures.push_back(build(probe));
    }
    return it->second;
  }

 private:
  std::map<std::pair<int, std::vector<int>>, int> known_;
};

}  // namespace micromind
