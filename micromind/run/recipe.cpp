#include "micromind/run/recipe.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <type_traits>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/reflect.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/networks/registry.h"

namespace micromind {
namespace {

constexpr std::string_view kFolder = "recipes/", kExtension = ".toml";

// The sections in the order in which a recipe is written.
template <class R, class Visit>
void visit_sections(R& recipe, Visit&& visit) {
  visit("run", recipe.run);
  visit("data", recipe.data);
  visit("design", recipe.design);
  visit("network", recipe.network);
  visit("train", recipe.train);
  visit("quantize", recipe.quantize);
  visit("deploy", recipe.deploy);
}

template <class Section>
constexpr bool is_network = std::is_same_v<std::decay_t<Section>, NetworkSection>;
template <class Section>
constexpr bool is_design = std::is_same_v<std::decay_t<Section>, DesignSection>;

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  Recipe recipe;
  visit_sections(recipe, [&](const char* name, auto&) { names.emplace_back(name); });
  return names;
}

// "[train]" for a key that another section than `here` knows, else "".
std::string section_of(std::string_view key, std::string_view here) {
  std::string found;
  Recipe recipe;
  visit_sections(recipe, [&]<class Section>(const char* name, Section&) {
    if constexpr (!is_network<Section>) {
      const std::vector<std::string> keys = member_names<Section>();
      if (name != here && std::find(keys.begin(), keys.end(), key) != keys.end()) found = fmt::format("[{}]", name);
    }
  });
  return found;
}

nlohmann::json to_json(const toml::node& node, const std::string& where) {
  switch (node.type()) {
    case toml::node_type::string:
      return node.as_string()->get();
    case toml::node_type::integer:
      return node.as_integer()->get();
    case toml::node_type::boolean:
      return node.as_boolean()->get();
    case toml::node_type::floating_point: {
      const double number = node.as_floating_point()->get();
      if (!std::isfinite(number)) fail(where, "expected a finite number, found {}", number);
      return number;
    }
    case toml::node_type::array: {
      nlohmann::json list = nlohmann::json::array();
      for (const toml::node& item : *node.as_array()) list.push_back(to_json(item, where));
      return list;
    }
    case toml::node_type::table: {
      nlohmann::json object = nlohmann::json::object();
      for (const auto& [key, item] : *node.as_table()) object[std::string(key.str())] = to_json(item, where);
      return object;
    }
    default:
      fail(where, "a date or a time has no meaning in a recipe");
  }
}

// A recipe being read, and where each of the network's options was: they can be checked only once the family is known.
struct Reading {
  Recipe recipe;
  std::map<std::string, std::string> network_places;
};

// Sets one key; `where` names file and line, or the --set option.
void set_key(Reading& reading, const std::string& section, const std::string& key, const nlohmann::json& value,
             const std::string& where) {
  Recipe& recipe = reading.recipe;
  bool known = false;
  visit_sections(recipe, [&]<class Section>(const char* name, Section& members) {
    if (section != name) return;
    known = true;
    const std::string place = fmt::format("{}: [{}]", where, section);
    if constexpr (is_network<Section>) {
      reading.network_places[key] = place;
      if (key != "family") {
        members.options[key] = value;
        return;
      }
      if (!value.is_string()) fail(place, "family = {}: expected a text in quotes", value.dump());
      members.family = value.get<std::string>();
    } else {
      const std::vector<std::string> keys = member_names<Section>();
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        if (const std::string other = section_of(key, section); !other.empty())
          fail_with_hint(place, fmt::format("it belongs to {}", other), "unknown key '{}'", key);
      members_from_json(nlohmann::json{{key, value}}, members, place);
      if constexpr (is_design<Section>) members.present = true;
    }
  });
  if (!known) fail_with_hint(where, name_hint(section, section_names()), "unknown section [{}]", section);
}

nlohmann::json parse_override_value(const std::string& text, const std::string& where) {
  std::string problem;
  try {
    const toml::table table = toml::parse("value = " + text);
    if (table.size() == 1) return to_json(*table.get("value"), where);
  } catch (const toml::parse_error& error) {
    problem = error.description();
  }
  // Bare words are text, so that a shell needs no quotes within quotes; something begun as TOML must be TOML.
  if (!text.empty() && std::string_view("\"'[{").find(text.front()) != std::string_view::npos)
    fail(where, "'{}' is no TOML value: {}", text, problem);
  return text;
}

void apply_override(Reading& reading, const std::string& text) {
  const std::string where = "--set " + text;
  const std::size_t equals = text.find('='), dot = text.find('.');
  if (equals == std::string::npos || dot == std::string::npos || dot > equals || dot == 0 || dot + 1 == equals)
    fail_with_hint(where, "for example --set train.epochs=5", "expected section.key=value");
  const std::string section = text.substr(0, dot), key = text.substr(dot + 1, equals - dot - 1);
  set_key(reading, section, key, parse_override_value(text.substr(equals + 1), where), where);
}

void apply_table(Reading& reading, const toml::table& root, std::string_view file) {
  for (const auto& [section, node] : root) {
    const std::string name(section.str());
    const auto at = [&](const toml::source_region& source) { return fmt::format("{}:{}", file, source.begin.line); };
    const std::vector<std::string> sections = section_names();
    if (std::find(sections.begin(), sections.end(), name) == sections.end()) {
      const std::string place = at(section.source());
      if (const std::string other = section_of(name, ""); !node.is_table() && !other.empty())
        fail_with_hint(place, fmt::format("it belongs to {}", other), "key '{}' stands outside a section", name);
      fail_with_hint(place, name_hint(name, sections), "unknown section [{}]", name);
    }
    const toml::table* table = node.as_table();
    if (name == "design") reading.recipe.design.present = true;
    if (table == nullptr) fail(at(section.source()), "'{}' is a section: expected [{}] and keys below it", name, name);
    for (const auto& [key, value] : *table) {
      const std::string place = at(key.source());
      set_key(reading, name, std::string(key.str()), to_json(value, place), place);
    }
  }
}

// The network's options against those of its family: names and kinds of values. Ranges are the family's own affair.
void check_network(const Reading& reading, std::string_view where) {
  const NetworkSection& network = reading.recipe.network;
  const auto place = [&](const std::string& key) {
    const auto found = reading.network_places.find(key);
    return found == reading.network_places.end() ? std::string(where) : found->second;
  };
  std::vector<std::string> families, keys = {"family"};
  const nlohmann::json* defaults = nullptr;
  for (const NetworkFamily& family : network_families()) {
    families.push_back(family.name);
    if (family.name == network.family) defaults = &family.defaults;
  }
  if (defaults == nullptr) fail_with_hint(place("family"), name_hint(network.family, families), "unknown family '{}'", network.family);
  for (const auto& [key, value] : defaults->items()) keys.push_back(key);
  for (const auto& [key, value] : network.options.items()) {
    if (!defaults->contains(key)) fail_with_hint(place(key), name_hint(key, keys), "unknown key '{}' of family {}", key, network.family);
    const nlohmann::json& usual = (*defaults)[key];
    const bool same_kind = usual.is_number() ? value.is_number() : usual.is_null() || usual.type() == value.type();
    if (!same_kind) fail(place(key), "{} = {}: expected a value like {}", key, value.dump(), usual.dump());
  }
}

void check_ranges(const Recipe& r, std::string_view where) {
  const auto need = [&](bool ok, std::string_view key, auto value, std::string_view expected) {
    if (!ok) fail(where, "{} = {}: expected {}", key, value, expected);
  };
  const auto at_least = [&](std::string_view key, auto value, auto least) {
    need(value >= least, key, value, fmt::format("at least {}", least));
  };
  const auto one_of = [&](std::string_view key, const std::string& value, const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), value) == known.end())
      fail_with_hint(where, name_hint(value, known), "{} = \"{}\": expected one of {}", key, value, fmt::join(known, ", "));
  };
  const auto share = [&](std::string_view key, double value) { need(value >= 0 && value < 1, key, value, "0 to below 1"); };
  need(r.run.name.find('/') == std::string::npos && r.run.name != "." && r.run.name != "..", "run.name", r.run.name,
       "a folder's name, not a path (--output takes a path)");
  share("data.validation_share", r.data.validation_share);
  at_least("data.train_limit", r.data.train_limit, 0);
  at_least("data.test_limit", r.data.test_limit, 0);
  need(r.data.image_size >= 0 && r.data.image_size <= 8192, "data.image_size", r.data.image_size, "0 (as stored) to 8192");
  need(r.data.channels == 1 || r.data.channels == 3, "data.channels", r.data.channels, "1 (grey) or 3 (RGB)");
  need(r.data.crop_padding >= 0 && r.data.crop_padding <= 4096, "data.crop_padding", r.data.crop_padding, "0 to 4096");
  need(r.data.mean.size() == r.data.deviation.size(), "data.mean", r.data.mean.size(), "as many values as data.deviation");
  for (const double d : r.data.deviation) need(d > 0, "data.deviation", d, "positive values");
  // Far beyond use, but products of them stay within 64 bits.
  const auto within = [&](std::string_view key, std::int64_t value, std::int64_t least, std::int64_t most) {
    need(value >= least && value <= most, key, value, fmt::format("{} to {}", least, most));
  };
  within("train.epochs", r.train.epochs, 1, 1'000'000);
  within("train.batch_size", r.train.batch_size, 1, 1'000'000);
  need(r.train.learning_rate > 0, "train.learning_rate", r.train.learning_rate, "a positive number");
  share("train.momentum", r.train.momentum);
  share("train.beta1", r.train.beta1);
  share("train.beta2", r.train.beta2);
  need(r.train.epsilon > 0, "train.epsilon", r.train.epsilon, "a positive number");
  at_least("train.weight_decay", r.train.weight_decay, 0.0);
  at_least("train.warmup_epochs", r.train.warmup_epochs, 0.0);
  at_least("train.warmup_learning_rate", r.train.warmup_learning_rate, 0.0);
  at_least("train.final_learning_rate", r.train.final_learning_rate, 0.0);
  share("train.label_smoothing", r.train.label_smoothing);
  need(r.train.warmup_epochs <= static_cast<double>(r.train.epochs), "train.warmup_epochs", r.train.warmup_epochs,
       fmt::format("at most train.epochs = {}", r.train.epochs));
  need(r.train.threads >= 0 && r.train.threads <= 4096, "train.threads", r.train.threads, "0 (one a core) to 4096");
  need(r.train.loader_threads >= 0 && r.train.loader_threads <= 1024, "train.loader_threads", r.train.loader_threads, "0 (one a core) to 1024");
  one_of("train.task", r.train.task, {"classification"});
  one_of("train.optimizer", r.train.optimizer, {"sgd", "adam", "adamw"});
  one_of("train.schedule", r.train.schedule, {"cosine", "constant"});
  one_of("quantize.calibration", r.quantize.calibration, {"minmax", "percentile", "mse"});
  at_least("train.checkpoint_every_steps", r.train.checkpoint_every_steps, 0);
  need(r.quantize.percentile > 50 && r.quantize.percentile <= 100, "quantize.percentile", r.quantize.percentile,
       "above 50, at most 100");
  at_least("quantize.samples", r.quantize.samples, 1);
  at_least("deploy.inputs", r.deploy.inputs, 1);
}

// JSON's escapes are TOML's, but for DEL.
std::string toml_text(const std::string& text) {
  std::string quoted;
  for (const char c : nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
    if (c == '\x7f') quoted += "\\u007f";
    else quoted += c;
  return quoted;
}

std::string toml_value(const nlohmann::json& value) {
  if (value.is_string()) return toml_text(value.get<std::string>());
  if (value.is_number_float()) {
    const std::string text = fmt::format("{}", value.get<double>());
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
  }
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const nlohmann::json& item : value) parts.push_back(toml_value(item));
    return fmt::format("[{}]", fmt::join(parts, ", "));
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) parts.push_back(fmt::format("{} = {}", toml_text(key), toml_value(item)));
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
  }
  return value.dump();
}

std::string toml_key(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? key : toml_text(key);
}

std::string stem(const std::string& path_or_name) { return std::filesystem::path(path_or_name).stem().string(); }

}  // namespace

Recipe parse_recipe(std::string_view toml, std::string_view where, const std::vector<std::string>& overrides) {
  toml::table table;
  try {
    table = toml::parse(toml, where);
  } catch (const toml::parse_error& error) {
    fail(fmt::format("{}:{}", where, error.source().begin.line), "not valid TOML: {}", error.description());
  }
  Reading reading;
  apply_table(reading, table, where);
  for (const std::string& text : overrides) apply_override(reading, text);
  check_network(reading, where);
  check_ranges(reading.recipe, overrides.empty() ? std::string(where) : fmt::format("{} with --set", where));
  return reading.recipe;
}

Recipe load_recipe(const std::string& path_or_name, const std::vector<std::string>& overrides) {
  const std::filesystem::path path(path_or_name);
  std::error_code ignored;
  const bool is_file = std::filesystem::is_regular_file(path, ignored);
  const bool is_path = is_file || path.extension() == kExtension || path_or_name.find('/') != std::string::npos;
  Recipe recipe;
  if (is_path) {
    if (!is_file)
      fail_with_hint("recipe", fmt::format("recipes in the binary: {}", fmt::join(recipe_names(), ", ")), "{}: {}", path_or_name,
                     std::filesystem::is_directory(path, ignored) ? "a folder, expected a .toml file" : "no such file");
    recipe = parse_recipe(read_text(path), path_or_name, overrides);
  } else {
    const std::vector<std::string> names = recipe_names();
    if (std::find(names.begin(), names.end(), path_or_name) == names.end())
      fail_with_hint("recipe", name_hint(path_or_name, names) + " (your own: the path of a .toml file)", "unknown recipe '{}'",
                     path_or_name);
    const std::string file = fmt::format("{}{}{}", kFolder, path_or_name, kExtension);
    recipe = parse_recipe(resource(file), file, overrides);
  }
  if (recipe.run.name.empty()) recipe.run.name = stem(path_or_name);
  return recipe;
}

std::string to_toml(const Recipe& recipe, bool with_defaults) {
  std::string text;
  visit_sections(recipe, [&]<class Section>(const char* name, const Section& members) {
    std::string lines;
    const auto line = [&](const std::string& key, const nlohmann::json& value) { lines += fmt::format("{} = {}\n", toml_key(key), toml_value(value)); };
    if constexpr (is_network<Section>) {
      line("family", members.family);
      for (const auto& [key, value] : members.options.items()) line(key, value);
    } else {
      if constexpr (is_design<Section>)
        if (!members.present) return;
      const nlohmann::json defaults = members_to_json(Section{});
      Section::attributes(members, [&](const char* key, const auto& member) {
        const nlohmann::json value(member);
        if (with_defaults || value != defaults.at(key)) line(key, value);
      });
      if constexpr (!is_design<Section>)
        if (lines.empty()) return;
    }
    text += fmt::format("{}[{}]\n{}", text.empty() ? "" : "\n", name, lines);
  });
  return text;
}

std::vector<std::string> recipe_names() { return resource_stems(kFolder, kExtension); }

}  // namespace micromind
