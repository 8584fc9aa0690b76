#include "micromind/scaling/lattice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/networks/blocks.h"
#include "micromind/networks/registry.h"
#include "micromind/scaling/families/families.h"

namespace micromind {
namespace {

using nlohmann::json;

struct Row {
  const char* name;
  Space (*space)(const Shape&);
  Lattice (*lattice)(const LatticeRequest&);
};
constexpr Row kFamilies[] = {
    {"phinet", phinet_space, phinet_lattice},
    {"xinet", xinet_space, xinet_lattice},
    {"mobilenet-v2", mobilenet_v2_space, mobilenet_v2_lattice},
    {"efficientnet", efficientnet_space, efficientnet_lattice},
};

const Row& row(const std::string& family) {
  for (const Row& r : kFamilies)
    if (family == r.name) return r;
  const std::vector<std::string> names = scalable_families();
  const auto known = network_families();
  const bool exists = std::any_of(known.begin(), known.end(), [&](const NetworkFamily& f) { return f.name == family; });
  if (exists) fail_with_hint("design", fmt::format("families that scale: {}", fmt::join(names, ", ")), "'{}' is one fixed network, it has nothing to scale", family);
  fail_with_hint("design", name_hint(family, names), "unknown family '{}'", family);
}

std::string describe(const Knob& knob) {
  if (knob.real) return fmt::format("a number, or a range such as {}=0.5:2", knob.name);
  return fmt::format("values such as {}, a list (a,b,c) or a range of whole numbers (a:b)", knob.choices.front().dump());
}

void narrow(Knob& knob, const json& wish, std::string_view where) {
  const auto wrong = [&](std::string_view what) { fail_with_hint(where, "expected " + describe(knob), "{} = {}: {}", knob.name, wish.dump(), what); };
  // The choices may be lists themselves: [5, 7] is one, [[5, 7], [4, 5, 7]] are two.
  const bool of_lists = !knob.real && knob.choices.front().is_array();
  const bool is_list = wish.is_array() && (!of_lists || (!wish.empty() && wish.front().is_array()));
  const json list = is_list ? wish : json::array({wish});
  if (list.empty()) wrong("no value is left");
  if (!knob.real) {
    const auto same_kind = [](const json& a, const json& b) { return a.type() == b.type() || (a.is_number_integer() && b.is_number_integer()); };
    for (const json& value : list) {
      if (!same_kind(value, knob.choices.front())) wrong("wrong kind of value");
      if (of_lists)
        for (const json& item : value)
          if (!same_kind(item, knob.choices.front().front())) wrong("wrong kind of value in the list");
    }
    knob.choices.clear();
    for (const json& value : list)
      if (std::find(knob.choices.begin(), knob.choices.end(), value) == knob.choices.end()) knob.choices.push_back(value);
    return;
  }
  for (const json& value : list)
    if (!value.is_number()) wrong("not a number");
  if (list.size() > 2) wrong("one number fixes it, two are a range");
  const bool positive = knob.low > 0;
  knob.low = list.front().get<double>();
  knob.high = list.back().get<double>();
  if (!(knob.low <= knob.high)) wrong("the range is reversed");
  if (positive && !(knob.low > 0)) wrong("expected more than 0");
  if (std::max(-knob.low, knob.high) > 100) wrong("expected at most 100");
}

// The position inside `cell` on the line S = s: where T enters and leaves.
Polygon::Range crossing(const Polygon& cell, double s) {
  Polygon::Range r{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  const Point* previous = cell.end() - 1;
  for (const Point& p : cell) {
    const double lo = std::min(previous->s, p.s), hi = std::max(previous->s, p.s);
    if (s >= lo && s <= hi && hi > lo) {
      const double t = previous->t + (p.t - previous->t) * (s - previous->s) / (p.s - previous->s);
      r.low = std::min(r.low, t);
      r.high = std::max(r.high, t);
    }
    previous = &p;
  }
  return r;
}

// Multiples of 10^-digits in [low, high], at most `most` of them, spread.
std::vector<double> decimals(double low, double high, int digits, int most) {
  const double scale = std::pow(10.0, digits);
  const double first = std::ceil(low * scale), last = std::floor(high * scale);
  std::vector<double> list;
  const double stride = std::max(1.0, std::ceil((last - first + 1) / most));
  for (double n = first; n <= last; n += stride) list.push_back(n / scale);
  return list;
}

// Where the plane is a single point its network is what the family itself makes of the point: a form on a threshold may round
// either way there, and no polygon around it says which.
void settle(Lattice& lattice) {
  std::map<int, int> fixed_structures;  // with rules that read nothing but `fixed`
  std::vector<Configuration> settled;
  for (Configuration& c : lattice.configurations) {
    if (!lattice.limits.fixed(c.one_knob)) {
      settled.push_back(std::move(c));
      continue;
    }
    try {
      c.fixed = lattice.family->widths(lattice.family->options(c, lattice.limits.s_low, lattice.limits.ratio_low));
    } catch (const Error&) {
      continue;  // no network: a width is nothing
    }
    const auto [it, added] = fixed_structures.try_emplace(c.structure, static_cast<int>(lattice.structures.size()));
    if (added) {
      const std::shared_ptr<const WidthCost> cost = lattice.structures[static_cast<std::size_t>(c.structure)].cost;
      lattice.structures.push_back({cost, {}, std::vector<SlotRule>(cost->slots())});
    }
    c.structure = it->second;
    c.forms.clear();
    settled.push_back(std::move(c));
  }
  lattice.configurations = std::move(settled);
}

}  // namespace

std::vector<std::string> scalable_families() {
  std::vector<std::string> names;
  for (const Row& r : kFamilies) names.emplace_back(r.name);
  return names;
}

Space default_space(const std::string& family, const Shape& input) { return row(family).space(input); }

void narrow(Space& space, const json& wishes, std::string_view where) {
  if (!wishes.is_object()) fail(where, "expected a table of knobs, found {}", wishes.dump());
  std::vector<std::string> names;
  for (const Knob& knob : space) names.push_back(knob.name);
  for (const auto& [name, wish] : wishes.items()) {
    const auto knob = std::find_if(space.begin(), space.end(), [&](const Knob& k) { return k.name == name; });
    if (knob == space.end()) fail_with_hint(where, name_hint(name, names), "unknown knob '{}'", name);
    narrow(*knob, wish, where);
  }
}

json parse_wish(const std::string& text) {
  const std::string where = "--space " + text;
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    fail_with_hint(where, "for example --space alpha=0.1:2 or --space num_layers=5,7", "expected knob=value, knob=low:high or knob=a,b,c");
  const auto value = [&](const std::string& part) {
    const json parsed = json::parse(part, nullptr, false);
    if (!parsed.is_number() && !parsed.is_boolean()) fail(where, "'{}' is no number, true or false", part);
    return parsed;
  };
  const std::string name = text.substr(0, equals), rest = text.substr(equals + 1);
  json list = json::array();
  if (const std::size_t colon = rest.find(':'); colon != std::string::npos) {
    const json low = value(rest.substr(0, colon)), high = value(rest.substr(colon + 1));
    if (!low.is_number() || !high.is_number()) fail(where, "a range is of numbers");
    if (!(low <= high)) fail(where, "the range is reversed");
    // Which of the two a knob wants is known only by the knob: whole numbers are spelt out for choices by name.
    const bool depth = name == "num_layers" || name == "gamma" || name == "resolution" || name == "divisor";
    if (!depth) return {{name, {low, high}}};
    if (!low.is_number_integer() || !high.is_number_integer()) fail(where, "a range of whole numbers was expected");
    if (high.get<std::int64_t>() - low.get<std::int64_t>() > 4096) fail(where, "the range has more than 4096 values");
    for (std::int64_t n = low; n <= high.get<std::int64_t>(); ++n) list.push_back(n);
    return {{name, list}};
  }
  std::size_t from = 0;
  while (from <= rest.size()) {  // "5,7": a list of choices, or the one choice [5, 7]
    const std::size_t comma = std::min(rest.find(',', from), rest.size());
    list.push_back(value(rest.substr(from, comma - from)));
    from = comma + 1;
  }
  return {{name, list}};
}

int Rounding::operator()(double form) const {
  switch (kind) {
    case Kind::ceil: return unit * static_cast<int>(std::ceil(form));
    case Kind::divisible: return make_divisible(form, divisor);
    case Kind::floor: break;
  }
  const int whole = unit * static_cast<int>(form);
  return divisor == 1 ? std::max(whole, 1) : make_divisible(whole, divisor);
}

int SlotRule::operator()(int rounded) const {
  const int width = std::max(least, rounded * times / by);
  return divisor == 1 ? width : make_divisible(width, divisor);
}

void slot_widths(const Structure& structure, const Configuration& configuration, std::span<const int> rounded, std::span<std::int64_t> x) {
  for (std::size_t i = 0; i < structure.rules.size(); ++i) {
    const SlotRule& rule = structure.rules[i];
    x[i] = rule.form < 0 ? configuration.fixed[i] : rule(rounded[static_cast<std::size_t>(rule.form)]);
  }
}

double shortest_decimal(double low, double high) {
  for (int digits = 0; digits <= 15; ++digits)
    if (const auto list = decimals(low, high, digits, 1); !list.empty() && list.front() < high) return list.front();
  return 0.5 * (low + high);
}

json name_network(const Lattice& lattice, const Configuration& configuration, const Polygon& cell, std::span<const std::int64_t> widths) {
  json options;
  const auto names_it = [&](double s, double ratio) {
    if (!lattice.limits.hold(s, ratio, configuration.one_knob)) return false;
    stop_if_interrupted();
    options = lattice.family->options(configuration, s, ratio);
    try {
      const std::vector<int> found = lattice.family->widths(options);
      return found.size() == widths.size() && std::equal(found.begin(), found.end(), widths.begin());
    } catch (const Error&) {
      return false;  // on the edge of the cell, where a width is nothing
    }
  };
  const Lattice::Limits& limits = lattice.limits;
  if (limits.fixed(configuration.one_knob)) return names_it(limits.s_low, limits.ratio_low) ? options : json::object();
  const Polygon::Range s = cell.range({1, 0});
  // Fewest digits in all; the two knobs share them evenly where they can.
  for (int digits = 0; digits <= 24; ++digits)
    for (int of_s = std::max(0, digits - 14); of_s <= std::min(digits, 14); ++of_s)
      for (const double value : decimals(s.low, s.high, of_s, 12)) {
        const Polygon::Range t = crossing(cell, value);
        if (!(t.low <= t.high) || !(value > 0)) continue;
        for (const double ratio : decimals(t.low / value, t.high / value, digits - of_s, 2))
          if (names_it(value, ratio)) return options;
      }
  // An end of a range need not be a short decimal.
  for (const double at : {limits.s_low, limits.s_high})
    for (const double ratio : {limits.ratio_low, limits.ratio_high})
      if (names_it(at, ratio)) return options;
  const Point centre = cell.centre();
  return names_it(centre.s, centre.t / centre.s) ? options : json::object();
}

Lattice make_lattice(const std::string& family, const Shape& input, int classes, const Space& space, const json& fixed, const LayerCyclesOf& cycles) {
  const Row& r = row(family);
  if (input.rank() != 3) fail_with_hint("design", "for example --input 3x96x96", "input {}: expected an image, channels × height × width", to_string(input));
  for (const char* key : {"input_shape", "num_classes", "include_top"})
    if (fixed.contains(key)) fail_with_hint("design", "it follows from the images and the number of classes", "'{}' cannot be set", key);
  for (const auto& [key, value] : fixed.items())
    for (const Knob& knob : space)
      if (knob.name == key) fail_with_hint("design", fmt::format("say it as a knob: --space {}={}", key, value.dump()), "'{}' is a knob of {}", key, family);
  Lattice lattice = r.lattice({input, classes, space, fixed, cycles});
  lattice.name = family;
  settle(lattice);
  return lattice;
}

}  // namespace micromind
