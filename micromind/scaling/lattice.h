// The search space of a family: every distinct network that its rounding allows, without building any of them.
//
// A family has *discrete choices* (depth, image size, squeeze-and-excite, …) and at most two *real knobs* that act
// together. For one combination of choices every width w of the network is a step function of a linear form of the two:
//
//   w = round(s·S + t·T)          PhiNet: S = t_zero, T = beta·t_zero, at every width that alpha allows
//                                 XiNet:  S = alpha,  T = beta·alpha
//
// so the plane of (S, T) falls into convex cells, one a network. That is the lattice: cells, not a grid of knob values.
//
//   const Lattice lattice = make_lattice("phinet", {3, 160, 160}, 20, space);
//   lattice.configurations               // one a combination of choices
//
// To add a family: one file in scaling/families and a row in lattice.cpp.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "micromind/scaling/polygon.h"
#include "micromind/scaling/width_cost.h"

namespace micromind {

/// A hyperparameter that the search may choose, and from what.
struct Knob {
  std::string name;                     ///< the family's option, or "resolution"
  bool real = false;
  double low = 0, high = 0;             ///< real: the range
  std::vector<nlohmann::json> choices;  ///< otherwise: the values
  std::string about;                    ///< one line
};
using Space = std::vector<Knob>;

/// What `design` searches unless told otherwise; for a family that cannot be scaled, Error that names those that can.
Space default_space(const std::string& family, const Shape& input);
std::vector<std::string> scalable_families();

/// Narrows or widens knobs: {"alpha": [0.1, 2]} (two numbers: a real knob's range), {"num_layers": [5, 7]} (choices),
/// {"beta": 1} (fixed). Throws Error on an unknown knob (naming the nearest), an empty or reversed range, a wrong type.
void narrow(Space& space, const nlohmann::json& wishes, std::string_view where);

/// "alpha=0.1:2", "num_layers=5,6,7", "num_layers=5:9", "squeeze_excite=false" to what narrow() takes.
nlohmann::json parse_wish(const std::string& text);

/// How a linear form becomes a width.
struct Rounding {
  enum class Kind {
    floor,      ///< unit · ⌊L⌋, then the nearest multiple of the divisor as make_divisible() has it
    ceil,       ///< unit · ⌈L⌉
    divisible,  ///< make_divisible(L, divisor): of the real number
  };
  Kind kind = Kind::floor;
  int unit = 1, divisor = 1;
  int operator()(double form) const;
};

/// A slot's width: fixed, or from a form's rounded value b as max(least, b · times / by), then a multiple of `divisor`.
struct SlotRule {
  int form = -1;  ///< −1: fixed by the configuration
  int times = 1, by = 1, least = 0, divisor = 1;
  int operator()(int rounded) const;
};

/// What configurations with the same choices share.
struct Structure {
  std::shared_ptr<const WidthCost> cost;
  std::vector<Rounding> roundings;  ///< one a form
  std::vector<SlotRule> rules;      ///< one a slot
};

struct Configuration {
  int structure = 0;
  std::vector<LinearForm> forms;
  std::vector<std::int32_t> fixed;  ///< one a slot; read where the rule has no form
  Polygon region;                   ///< of (S, T)
  int choice = 0;                   ///< the family's own: which combination
  double alpha = 0;                 ///< the family's own: the third knob, where there is one
  bool one_knob = false;            ///< T means nothing
};

/// What the search needs of a family beside its lattice.
class Family {
 public:
  virtual ~Family() = default;
  /// The options of the network at S = s, T = ratio·s of a configuration.
  virtual nlohmann::json options(const Configuration& configuration, double s, double ratio) const = 0;
  /// A real knob's value in these options, if it has one: the option of that name, unless the family says otherwise.
  virtual std::optional<double> knob(const std::string& name, const nlohmann::json& options) const {
    return options.contains(name) ? std::optional(options.at(name).get<double>()) : std::nullopt;
  }
  /// All slots of the network with these options.
  virtual std::vector<int> widths(const nlohmann::json& options) const = 0;
  /// The configuration without rounding, for the smooth relaxation. A family with a third knob gives forms and fixed widths
  /// at alpha = 1: times alpha, they are those of any alpha.
  virtual Configuration unrounded(const Configuration& configuration) const { return configuration; }
};

struct Lattice {
  std::string name;  ///< of the family
  std::unique_ptr<const Family> family;
  std::vector<Structure> structures;
  std::vector<Configuration> configurations;
  struct Limits {
    double s_low = 0, s_high = 0, ratio_low = 0, ratio_high = 0;
    double alpha_low = 0, alpha_high = 0;  ///< of the third knob
    bool hold(double s, double ratio, bool one_knob) const {
      return s >= s_low && s <= s_high && (one_knob || (ratio >= ratio_low && ratio <= ratio_high));
    }
    bool fixed(bool one_knob) const { return s_low == s_high && (one_knob || ratio_low == ratio_high); }
  } limits;  ///< of the knobs, both ends included
};

/// Throws Error when no choice of the space gives a network for this input.
Lattice make_lattice(const std::string& family, const Shape& input, int classes, const Space& space,
                     const nlohmann::json& fixed_options = nlohmann::json::object(), const LayerCyclesOf& cycles = nullptr);

/// The options that name a cell's network, with as few digits as keep it: {"alpha": 0.35, "beta": 0.8, …}. An empty
/// object when no knob value within the limits names it: a cell too thin for a double, or one that only touches the limits.
nlohmann::json name_network(const Lattice& lattice, const Configuration& configuration, const Polygon& cell, std::span<const std::int64_t> widths);

/// The number with the fewest decimals in [low, high), or the middle.
double shortest_decimal(double low, double high);

/// The widths of a leaf, all slots. `rounded`: one value a form.
void slot_widths(const Structure& structure, const Configuration& configuration, std::span<const int> rounded, std::span<std::int64_t> x);

}  // namespace micromind
