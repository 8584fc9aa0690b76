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
  visit("augment", recipe.augment);
  visit("design", recipe.design);
  visit("network", recipe.network);
  visit("train", recipe.train);
  visit("distill", recipe.distill);
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

// What a check says and where: "recipe.toml: train.epochs = 0: expected at least 1".
class Check {
 public:
  explicit Check(std::string_view where) : where_(where) {}
  template <class T>
  void need(bool ok, std::string_view key, const T& value, std::string_view expected) const {
    if (!ok) fail(where_, "{} = {}: expected {}", key, value, expected);
  }
  template <class T>
  void at_least(std::string_view key, T value, T least) const {
    need(value >= least, key, value, fmt::format("at least {}", least));
  }
  template <class T>
  void within(std::string_view key, T value, T least, T most, std::string_view meaning = "") const {
    need(value >= least && value <= most, key, value, fmt::format("{}{} to {}", least, meaning, most));
  }
  void positive(std::string_view key, double value) const { need(value > 0, key, value, "a positive number"); }
  void share(std::string_view key, double value) const { need(value >= 0 && value < 1, key, value, "0 to below 1"); }
  void one_of(std::string_view key, const std::string& value, const std::vector<std::string>& known) const {
    if (std::find(known.begin(), known.end(), value) == known.end())
      fail_with_hint(where_, name_hint(value, known), "{} = \"{}\": expected one of {}", key, value, fmt::join(known, ", "));
  }

 private:
  std::string where_;
};

constexpr std::int64_t kMany = 1'000'000;  // far beyond use, but products of such numbers stay within 64 bits

void check_data(const DataSection& d, const Check& check) {
  check.share("data.validation_share", d.validation_share);
  check.at_least<std::int64_t>("data.train_limit", d.train_limit, 0);
  check.at_least<std::int64_t>("data.test_limit", d.test_limit, 0);
  check.within("data.image_size", d.image_size, 0, 8192, " (as stored)");
  check.need(d.channels == 1 || d.channels == 3, "data.channels", d.channels, "1 (grey) or 3 (RGB)");
  check.within("data.damaged_share", d.damaged_share, 0.0, 1.0);
  check.need(d.mean.size() == d.deviation.size(), "data.mean", d.mean.size(), "as many values as data.deviation");
  for (const double deviation : d.deviation) check.need(deviation > 0, "data.deviation", deviation, "positive values");
}

void check_augment(const AugmentSection& a, std::int64_t epochs, const Check& check) {
  check.within("augment.crop_padding", a.crop_padding, 0, 4096);
  check.within("augment.rotation_degrees", a.rotation_degrees, 0.0, 180.0);
  check.share("augment.zoom", a.zoom);
  check.within("augment.brightness", a.brightness, 0.0, 1.0);
  check.within("augment.contrast", a.contrast, 0.0, 1.0);
  check.within("augment.saturation", a.saturation, 0.0, 1.0);
  check.within<std::int64_t>("augment.randaugment", a.randaugment, 0, 16, " (off)");
  check.within("augment.randaugment_magnitude", a.randaugment_magnitude, 0.0, 30.0);
  check.within("augment.erase_probability", a.erase_probability, 0.0, 1.0);
  check.within("augment.mixup", a.mixup, 0.0, 100.0, " (off)");
  check.within("augment.cutmix", a.cutmix, 0.0, 100.0, " (off)");
  check.within("augment.mix_probability", a.mix_probability, 0.0, 1.0);
  check.within<std::int64_t>("augment.plain_epochs", a.plain_epochs, 0, epochs);
}

void check_train(const TrainSection& t, const Check& check) {
  check.one_of("train.task", t.task, {"classification"});
  check.within<std::int64_t>("train.epochs", t.epochs, 1, kMany);
  check.within<std::int64_t>("train.batch_size", t.batch_size, 1, kMany);
  check.within<std::int64_t>("train.accumulate", t.accumulate, 1, kMany);
  check.one_of("train.optimizer", t.optimizer, {"sgd", "adam", "adamw", "lamb", "rmsprop"});
  check.positive("train.learning_rate", t.learning_rate);
  check.share("train.momentum", t.momentum);
  check.share("train.beta1", t.beta1);
  check.share("train.beta2", t.beta2);
  check.positive("train.epsilon", t.epsilon);
  check.share("train.smoothing", t.smoothing);
  check.at_least("train.weight_decay", t.weight_decay, 0.0);
  check.need(t.layer_decay > 0 && t.layer_decay <= 1, "train.layer_decay", t.layer_decay, "above 0, at most 1");
  check.at_least("train.clip_norm", t.clip_norm, 0.0);
  check.at_least("train.clip_value", t.clip_value, 0.0);
  check.share("train.ema_decay", t.ema_decay);
  check.one_of("train.schedule", t.schedule, {"cosine", "step", "one_cycle", "plateau", "constant"});
  check.at_least("train.warmup_epochs", t.warmup_epochs, 0.0);
  check.need(t.warmup_epochs <= static_cast<double>(t.epochs), "train.warmup_epochs", t.warmup_epochs,
             fmt::format("at most train.epochs = {}", t.epochs));
  check.at_least("train.warmup_learning_rate", t.warmup_learning_rate, 0.0);
  check.at_least("train.final_learning_rate", t.final_learning_rate, 0.0);
  check.need(t.schedule != "step" || !t.step_epochs.empty(), "train.step_epochs", "[]", "the epochs after which the rate falls, as in [30, 60]");
  for (std::size_t i = 0; i < t.step_epochs.size(); ++i)
    check.need(t.step_epochs[i] > (i == 0 ? 0 : t.step_epochs[i - 1]), "train.step_epochs", t.step_epochs[i], "positive epochs that rise");
  check.need(t.step_factor > 0 && t.step_factor < 1, "train.step_factor", t.step_factor, "above 0, below 1");
  check.need(t.one_cycle_rise > 0 && t.one_cycle_rise < 1, "train.one_cycle_rise", t.one_cycle_rise, "above 0, below 1");
  check.need(t.schedule != "one_cycle" || t.warmup_epochs == 0, "train.warmup_epochs", t.warmup_epochs, "0: one_cycle rises by itself");
  check.within<std::int64_t>("train.plateau_patience", t.plateau_patience, 0, kMany);
  check.one_of("train.loss", t.loss, {"cross_entropy", "bce"});
  check.share("train.label_smoothing", t.label_smoothing);
  check.within<std::int64_t>("train.validate_every_epochs", t.validate_every_epochs, 0, kMany, " (never)");
  check.within<std::int64_t>("train.validate_every_steps", t.validate_every_steps, 0, kMany * kMany, " (off)");
  check.within<std::int64_t>("train.early_stop", t.early_stop, 0, kMany, " (off)");
  check.within<std::int64_t>("train.keep_best", t.keep_best, 1, 1000);
  const bool validates = t.validate_every_epochs > 0 || t.validate_every_steps > 0;
  check.need(validates || t.early_stop == 0, "train.early_stop", t.early_stop, "0 where nothing is validated (train.validate_every_epochs = 0)");
  check.need(validates || t.schedule != "plateau", "train.schedule", t.schedule, "another one where nothing is validated");
  check.within("train.threads", t.threads, 0, 4096, " (one a core)");
  check.within("train.loader_threads", t.loader_threads, 0, 1024, " (one a core)");
  check.one_of("train.precision", t.precision, {"float32", "bfloat16"});
  check.within("train.rank_timeout", t.rank_timeout, 1.0, 86400.0, " seconds");
  check.at_least<std::int64_t>("train.checkpoint_every_steps", t.checkpoint_every_steps, 0);
}

void check_quantize(const QuantizeSection& q, const Check& check) {
  check.one_of("quantize.calibration", q.calibration, {"minmax", "percentile", "mse"});
  check.need(q.percentile > 50 && q.percentile <= 100, "quantize.percentile", q.percentile, "above 50, at most 100");
  check.at_least<std::int64_t>("quantize.samples", q.samples, 1);
  check.within<std::int64_t>("quantize.qat_epochs", q.qat_epochs, 1, kMany);
  check.positive("quantize.qat_learning_rate", q.qat_learning_rate);
  check.one_of("quantize.qat_ranges", q.qat_ranges, {"average", "learned"});
}

void check_ranges(const Recipe& r, std::string_view where) {
  const Check check(where);
  check.need(r.run.name.find('/') == std::string::npos && r.run.name != "." && r.run.name != "..", "run.name", r.run.name,
             "a folder's name, not a path (--output takes a path)");
  check_data(r.data, check);
  check_augment(r.augment, r.train.epochs, check);
  check_train(r.train, check);
  check.within("distill.weight", r.distill.weight, 0.0, 1.0);
  check.positive("distill.temperature", r.distill.temperature);
  check_quantize(r.quantize, check);
  check.at_least<std::int64_t>("deploy.inputs", r.deploy.inputs, 1);
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
