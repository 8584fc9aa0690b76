#include "micromind/targets/toml_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

std::string kind(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "text";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a decimal number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

}  // namespace

TomlReader::TomlReader(const toml::table& table, std::string origin, std::string prefix)
    : table_(&table), origin_(std::move(origin)), prefix_(std::move(prefix)) {}

void TomlReader::wrong(std::string_view key, std::string_view text, std::string_view hint) const {
  fail_with_hint("target", hint, "{}: {}{}: {}", origin_, prefix_, key, text);
}

bool TomlReader::has(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  return table_->contains(key);
}

const toml::node& TomlReader::need(std::string_view key) {
  if (!has(key)) {
    // A misspelt key is both missing and unknown: say the second where it is near.
    for (const auto& [other, node] : *table_)
      if (const std::vector<std::string> wanted = {std::string(key)};
          !nearest_name(other.str(), wanted).empty())
        wrong(key, "this key is missing", fmt::format("found '{}', did you mean '{}'?", other.str(), key));
    wrong(key, "this key is missing");
  }
  return *table_->get(key);
}

std::string TomlReader::text(std::string_view key) {
  const toml::node& node = need(key);
  if (!node.is_string()) wrong(key, fmt::format("expected text, found {}", kind(node)));
  std::string value = node.as_string()->get();
  if (value.empty()) wrong(key, "expected text, found an empty one");
  return value;
}

bool TomlReader::boolean(std::string_view key) {
  const toml::node& node = need(key);
  if (!node.is_boolean()) wrong(key, fmt::format("expected true or false, found {}", kind(node)));
  return node.as_boolean()->get();
}

std::int64_t TomlReader::integer(std::string_view key, std::int64_t low, std::int64_t high) {
  const toml::node& node = need(key);
  if (!node.is_integer()) wrong(key, fmt::format("expected an integer, found {}", kind(node)));
  const std::int64_t value = node.as_integer()->get();
  if (value < low || value > high)
    wrong(key, fmt::format("expected a value from {} to {}, found {}", low, high, value));
  return value;
}

std::int64_t TomlReader::bytes(std::string_view key, std::int64_t high) {
  const toml::node& node = need(key);
  if (!node.is_string()) return integer(key, 1, high);
  std::int64_t value = 0;
  try {
    value = parse_bytes(node.as_string()->get());
  } catch (const Error& error) {
    wrong(key, error.message());
  }
  if (value > high) wrong(key, fmt::format("expected at most {} bytes, found {}", high, value));
  return value;
}

double TomlReader::positive(std::string_view key) {
  const toml::node& node = need(key);
  const auto value = node.is_number() ? node.value<double>() : std::nullopt;
  if (!value) wrong(key, fmt::format("expected a number, found {}", kind(node)));
  if (!(*value > 0) || !std::isfinite(*value))
    wrong(key, fmt::format("expected a positive number, found {}", *value));
  return *value;
}

std::vector<std::string> TomlReader::texts(std::string_view key) {
  const toml::node& node = need(key);
  if (!node.is_array()) wrong(key, fmt::format("expected an array of text, found {}", kind(node)));
  std::vector<std::string> values;
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_string()) wrong(key, fmt::format("expected an array of text, found {} in it", kind(item)));
    values.push_back(item.as_string()->get());
  }
  return values;
}

TomlReader TomlReader::table(std::string_view key) {
  const toml::node& node = need(key);
  if (!node.is_table()) wrong(key, fmt::format("expected a table, found {}", kind(node)));
  return {*node.as_table(), origin_, fmt::format("{}{}.", prefix_, key)};
}

std::vector<TomlReader> TomlReader::tables(std::string_view key) {
  const toml::node& node = need(key);
  if (!node.is_array()) wrong(key, fmt::format("expected tables (write [[{}]]), found {}", key, kind(node)));
  std::vector<TomlReader> readers;
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_table())
      wrong(key, fmt::format("expected tables (write [[{}]]), found {} in it", key, kind(item)));
    readers.emplace_back(*item.as_table(), origin_, fmt::format("{}{}[{}].", prefix_, key, readers.size()));
  }
  return readers;
}

void TomlReader::finish() const {
  for (const auto& [key, node] : *table_)
    if (std::find(known_.begin(), known_.end(), key.str()) == known_.end())
      wrong(key.str(), "unknown key", name_hint(key.str(), known_));
}

}  // namespace micromind
