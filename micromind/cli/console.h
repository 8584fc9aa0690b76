// What every verb shares: where its output goes and how its help looks.
//
// Results go to standard output: text, or with --json exactly one JSON object and nothing else. Notes and progress go
// to standard error. Colours appear only on a terminal and when NO_COLOR is not set.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace micromind {

class Console {
 public:
  bool json = false;     ///< --json
  int exit_status = 0;   ///< what main returns when the verb has not thrown

  void print(std::string_view text) const;             ///< a line of the result; nothing with --json
  void result(const nlohmann::json& object) const;     ///< the JSON object; nothing without --json
  static void note(std::string_view text);             ///< a line on standard error
  static std::string bold(std::string_view text);      ///< for print()
  static std::string good(std::string_view text);
  static std::string bad(std::string_view text);
};

/// One example of a verb: what it does, and the command.
struct Example {
  std::string what, command;
};

/// Adds the verb `name` with --json, its description and examples to the help.
CLI::App* add_verb(CLI::App& app, Console& console, const std::string& name, const std::string& summary, const std::string& description,
                   const std::vector<Example>& examples);

}  // namespace micromind
