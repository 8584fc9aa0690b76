// micromind targets | networks | operators | recipes: what there is.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"
#include "micromind/graph/op.h"
#include "micromind/networks/registry.h"
#include "micromind/run/recipe.h"
#include "micromind/targets/target.h"

namespace micromind {
namespace {

using Rows = std::vector<std::vector<std::string>>;
using nlohmann::json;

void list_targets(const Console& console) {
  Rows rows = {{"target", "core", "clock", "RAM", "first bank", "flash", "emulated on", "what it is"}};
  json list = json::array();
  for (const std::string& name : target_names()) {
    const Target t = load_target(name);
    const std::string machine = t.emulator ? t.emulator->machine : t.emulated_by;
    rows.push_back({name, std::string(core_name(t.core)), fmt::format("{} MHz", t.clock_hz / 1'000'000), format_bytes(t.ram_bytes()),
                    format_bytes(t.main_bank().bytes), format_bytes(t.flash.bytes), machine.empty() ? "–" : machine, t.description});
    list.push_back({{"name", name}, {"description", t.description}, {"core", core_name(t.core)}, {"clock_hz", t.clock_hz},
                    {"ram_bytes", t.ram_bytes()}, {"main_bank_bytes", t.main_bank().bytes}, {"flash_bytes", t.flash.bytes},
                    {"stack_bytes", t.stack_bytes}, {"emulated_by", machine}, {"can_emulate", t.can_emulate()}});
  }
  console.print(format_table(rows));
  console.result({{"targets", list}});
}

void list_networks(const Console& console) {
  json list = json::array();
  for (const NetworkFamily& family : network_families()) {
    console.print(fmt::format("{}\n  {}", Console::bold(family.name), family.description));
    std::string options;
    for (const auto& [key, value] : family.defaults.items()) options += fmt::format("{}{} = {}", options.empty() ? "" : ", ", key, value.dump());
    console.print(fmt::format("  {}\n", options));
    list.push_back({{"name", family.name}, {"description", family.description}, {"defaults", family.defaults}});
  }
  console.result({{"networks", list}});
}

void list_operators(const Console& console) {
  Rows rows = {{"operator", "attributes"}};
  json list = json::array();
  for (const std::string& name : op_names()) {
    json attributes = json::object();
    std::visit([&](const auto& op) {
      using T = std::decay_t<decltype(op)>;
      T::attributes(op, [&](const char* key, const auto& value) { attributes[key] = value; });
    }, op_from_name(name));
    std::string text;
    for (const auto& [key, value] : attributes.items()) text += fmt::format("{}{}", text.empty() ? "" : ", ", key);
    rows.push_back({name, text});
    list.push_back({{"name", name}, {"attributes", attributes}});
  }
  console.print(format_table(rows));
  console.result({{"operators", list}});
}

void list_recipes(const Console& console) {
  Rows rows = {{"recipe", "data", "network", "epochs", "target"}};
  json list = json::array();
  for (const std::string& name : recipe_names()) {
    const Recipe r = load_recipe(name);
    rows.push_back({name, r.data.name, r.network.family, std::to_string(r.train.epochs), r.deploy.target});
    list.push_back({{"name", name}, {"data", r.data.name}, {"network", r.network.family}, {"epochs", r.train.epochs}, {"target", r.deploy.target}});
  }
  console.print(format_table(rows));
  console.result({{"recipes", list}});
}

}  // namespace

void add_targets(CLI::App& app, Console& console) {
  add_verb(app, console, "targets", "Boards and emulated machines",
           "A target is one TOML file; --target also takes the path of your own.",
           {{"What can I deploy to?", "micromind targets"}, {"The same for a program", "micromind targets --json"}})
      ->callback([&console] { list_targets(console); });
}

void add_networks(CLI::App& app, Console& console) {
  add_verb(app, console, "networks", "Families of networks, with their options and defaults",
           "Options stand in a recipe's [network] section, or behind inspect's --set.",
           {{"What is there?", "micromind networks"}, {"Try an option", "micromind inspect phinet --set alpha=0.5"}})
      ->callback([&console] { list_networks(console); });
}

void add_operators(CLI::App& app, Console& console) {
  add_verb(app, console, "operators", "Operators that networks are made of", "Each can be trained, quantised, exported and emitted as C.",
           {{"What is there?", "micromind operators"}, {"With attributes and defaults", "micromind operators --json"}})
      ->callback([&console] { list_operators(console); });
}

void add_recipes(CLI::App& app, Console& console) {
  add_verb(app, console, "recipes", "Recipes that the program carries",
           "A recipe is one TOML file that decides a run. Your own is given by its path.",
           {{"What is there?", "micromind recipes"}, {"Run one with a change", "micromind run demo --set train.epochs=3"}})
      ->callback([&console] { list_recipes(console); });
}

}  // namespace micromind
