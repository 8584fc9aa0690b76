// Option structs list their members once, in `attributes(self, visit)`; JSON, recipes, tables and help walk the list.
//
//   struct Options {
//     double alpha = 1;
//     template <class Self, class Visit>
//     static void attributes(Self& self, Visit&& visit) { visit("alpha", self.alpha); }
//   };
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {

template <class T>
nlohmann::json member_to_json(const T& member) {
  if constexpr (std::is_same_v<T, float>) return nlohmann::json::parse(fmt::format("{}", member));  // shortest text, same float
  else return nlohmann::json(member);
}

/// All members, or only those that differ from a default-constructed T.
template <class T>
nlohmann::json members_to_json(const T& object, bool with_defaults = true) {
  nlohmann::json all = nlohmann::json::object();
  T::attributes(object, [&](const char* key, const auto& member) { all[key] = member_to_json(member); });
  if (with_defaults) return all;
  const nlohmann::json defaults = members_to_json(T{});
  nlohmann::json changed = nlohmann::json::object();
  for (const auto& [key, value] : all.items())
    if (value != defaults.at(key)) changed[key] = value;
  return changed;
}

template <class T>
std::vector<std::string> member_names() {
  std::vector<std::string> names;
  T object{};
  T::attributes(object, [&](const char* key, auto&) { names.emplace_back(key); });
  return names;
}

/// Sets the members that `json` names and leaves the others. Throws Error (`where` in its text) on an unknown key,
/// naming the nearest known one, and on a value of the wrong type.
template <class T>
void members_from_json(const nlohmann::json& json, T& object, std::string_view where) {
  if (!json.is_object()) fail(where, "expected a table of options, found {}", json.dump());
  const std::vector<std::string> known = member_names<T>();
  for (const auto& [key, value] : json.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      fail_with_hint(where, name_hint(key, known), "unknown key '{}'", key);
  T::attributes(object, [&](const char* key, auto& member) {
    if (!json.contains(key)) return;
    using M = std::decay_t<decltype(member)>;
    const nlohmann::json& value = json.at(key);
    const auto wrong = [&](std::string_view expected) { fail(where, "{} = {}: expected {}", key, value.dump(), expected); };
    if constexpr (std::is_same_v<M, bool>) {
      if (!value.is_boolean()) wrong("true or false");
    } else if constexpr (std::is_integral_v<M>) {
      if (!value.is_number_integer() &&
          !(value.is_number() && std::abs(value.get<double>()) < 0x1p63 && value.get<double>() == static_cast<double>(static_cast<std::int64_t>(value.get<double>()))))
        wrong("a whole number");
      if (std::is_unsigned_v<M> && value.get<double>() < 0) wrong("a number of at least 0");
      if (value.get<double>() < static_cast<double>(std::numeric_limits<M>::lowest()) ||
          value.get<double>() > static_cast<double>(std::numeric_limits<M>::max()))
        wrong("a smaller number");
    } else if constexpr (std::is_floating_point_v<M>) {
      if (!value.is_number()) wrong("a number");
    } else if constexpr (std::is_same_v<M, std::string>) {
      if (!value.is_string()) wrong("a text in quotes");
    }
    try {
      member = value.get<M>();
    } catch (const nlohmann::json::exception&) {
      wrong("another type of value");
    }
  });
}

}  // namespace micromind
