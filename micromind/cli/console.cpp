#include "micromind/cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace micromind {
namespace {

std::string coloured(std::string_view text, const char* code) {
  const char* off = std::getenv("NO_COLOR");
  if (isatty(STDOUT_FILENO) == 0 || (off != nullptr && *off != '\0')) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", code, text);
}

void write_line(std::FILE* file, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), file);
  if (text.empty() || text.back() != '\n') std::fputc('\n', file);
}

}  // namespace

void Console::print(std::string_view text) const {
  if (!json) write_line(stdout, text);
}

void Console::result(const nlohmann::json& object) const {
  if (json) write_line(stdout, object.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Console::note(std::string_view text) { write_line(stderr, text); }

std::string Console::bold(std::string_view text) { return coloured(text, "1"); }
std::string Console::good(std::string_view text) { return coloured(text, "32"); }
std::string Console::bad(std::string_view text) { return coloured(text, "31"); }

CLI::App* add_verb(CLI::App& app, Console& console, const std::string& name, const std::string& summary, const std::string& description,
                   const std::vector<Example>& examples) {
  CLI::App* verb = app.add_subcommand(name, summary);
  verb->add_flag("--json", console.json, "Print one JSON object, and nothing else, on standard output");
  std::string footer = description;
  if (!examples.empty()) footer += "\n\nExamples:";
  for (const Example& example : examples) footer += fmt::format("\n  # {}\n  {}", example.what, example.command);
  verb->footer(footer);
  return verb;
}

}  // namespace micromind
