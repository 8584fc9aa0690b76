// Strict reading of a TOML table: every access names file and key in its error, and finish() rejects keys
// that nobody asked for. Private to the room (it exposes toml++).
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace micromind {

class TomlReader {
 public:
  /// `origin` is the file's name, `prefix` the path of this table ("ram[0]."), empty at the root.
  TomlReader(const toml::table& table, std::string origin, std::string prefix = {});

  bool has(std::string_view key);
  std::string text(std::string_view key);
  bool boolean(std::string_view key);
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high);
  std::int64_t bytes(std::string_view key, std::int64_t high);  ///< ≥ 1; an integer or text such as "64kB"
  double positive(std::string_view key);
  std::vector<std::string> texts(std::string_view key);
  TomlReader table(std::string_view key);
  std::vector<TomlReader> tables(std::string_view key);

  /// Throws Error when the table has a key that was not read, naming the nearest one that could be.
  void finish() const;
  /// Throws Error "[target] origin: prefix+key: text".
  [[noreturn]] void wrong(std::string_view key, std::string_view text, std::string_view hint = {}) const;

 private:
  const toml::node& need(std::string_view key);

  const toml::table* table_;
  std::string origin_, prefix_;
  std::vector<std::string> known_;
};

}  // namespace micromind
