// micromind targets | networks | operators | recipes: what there is.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
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

std::string features_text(const Features& f) {
  std::string text = f.mve ? "MVE" : f.dsp ? "DSP" : "";
  if (f.fpu != Fpu::kNone) text += fmt::format("{}FPU {}", text.empty() ? "" : ", ", f.fpu == Fpu::kDouble ? "64" : "32");
  return text.empty() ? "–" : text;
}

std::string_view fpu_name(Fpu fpu) { return fpu == Fpu::kNone ? "none" : fpu == Fpu::kSingle ? "single" : "double"; }

std::string clock_text(std::int64_t hz) { return fmt::format("{} MHz", hz / 1'000'000); }

std::string machine_of(const Target& t) { return t.emulator ? t.emulator->machine : t.emulated_by; }

json target_json(const Target& t) {
  json banks = json::array();
  for (const MemoryBank& bank : t.ram) banks.push_back({{"name", bank.name}, {"address", bank.address}, {"bytes", bank.bytes}});
  json object = {{"name", t.name}, {"description", t.description}, {"source", t.source}, {"core", core_name(t.core)},
                 {"clock_hz", t.clock_hz}, {"ram_bytes", t.ram_bytes()}, {"main_bank_bytes", t.main_bank().bytes}, {"ram", banks},
                 {"flash_bytes", t.flash.bytes}, {"flash_address", t.flash.address}, {"stack_bytes", t.stack_bytes},
                 {"features", {{"dsp", t.features.dsp}, {"mve", t.features.mve}, {"fpu", fpu_name(t.features.fpu)}}},
                 {"compiler", core_compiler(t.core)}, {"compiler_flags", t.compiler_flags}, {"active_mw", nullptr}, {"power_source", nullptr},
                 {"emulated_by", machine_of(t)}, {"is_emulator", t.emulator.has_value()}, {"can_emulate", t.can_emulate()}};
  if (t.external_flash) object["external_flash"] = {{"address", t.external_flash->address}, {"bytes", t.external_flash->bytes}};
  if (t.power) object["active_mw"] = t.power->active_mw, object["power_source"] = t.power->source;
  if (t.power && t.power->sleep_mw) object["sleep_mw"] = *t.power->sleep_mw, object["sleep_source"] = t.power->sleep_source;
  if (t.flash_timing)
    object["flash_wait_cycles"] = t.flash_timing->wait_cycles, object["flash_line_bytes"] = t.flash_timing->line_bytes, object["flash_timing_source"] = t.flash_timing->source;
  return object;
}

void list_targets(const Console& console) {
  Rows boards = {{"board", "core", "clock", "flash", "RAM", "largest bank", "features", "emulated by"}};
  Rows machines = {{"emulated machine", "core", "clock", "flash", "RAM", "features"}};
  json list = json::array();
  for (const std::string& name : target_names()) {
    const Target t = load_target(name);
    const std::string core(core_name(t.core)), clock = clock_text(t.clock_hz), flash = format_bytes(t.flash.bytes), ram = format_bytes(t.ram_bytes());
    std::int64_t largest = 0;
    for (const MemoryBank& bank : t.ram) largest = std::max(largest, bank.bytes);
    if (t.emulator) machines.push_back({name, core, clock, flash, ram, features_text(t.features)});
    else boards.push_back({name, core, clock, flash, ram, format_bytes(largest), features_text(t.features), t.can_emulate() ? t.emulated_by : "–"});
    list.push_back(target_json(t));
  }
  console.print(format_table(boards));
  console.print("\n" + format_table(machines));
  console.print("\nmicromind targets NAME tells more: banks with addresses, power, sources.");
  console.result({{"targets", list}});
}

void describe_target(const Console& console, const std::string& name) {
  const Target t = load_target(name);
  Rows banks = {{"bank", "address", "bytes"}, {"flash", fmt::format("0x{:08x}", t.flash.address), format_count(t.flash.bytes)}};
  if (t.external_flash)
    banks.push_back({"external flash", fmt::format("0x{:08x}", t.external_flash->address), format_count(t.external_flash->bytes)});
  for (const MemoryBank& bank : t.ram) banks.push_back({bank.name, fmt::format("0x{:08x}", bank.address), format_count(bank.bytes)});
  console.print(fmt::format("{}  {}\n", Console::bold(t.name), t.description));
  console.print(fmt::format("core         {}, {}\nfeatures     {}\ncompiler     {} {}\nemulated by  {}\npower        {}\nsource       {}{}\n",
                            core_name(t.core), clock_text(t.clock_hz), features_text(t.features), core_compiler(t.core),
                            fmt::join(t.compiler_flags, " "), t.emulator ? "itself" : t.can_emulate() ? t.emulated_by : "–",
                            t.power ? fmt::format("{} mW", t.power->active_mw) : "not known", t.source,
                            t.power ? fmt::format("\npower from   {}", t.power->source) : ""));
  console.print("\n" + format_table(banks));
  console.result(target_json(t));
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
  CLI::App* verb = add_verb(app, console, "targets", "Boards and emulated machines",
                            "A target is one TOML file; --target also takes the path of your own (docs/targets.md).",
                            {{"What can I deploy to?", "micromind targets"},
                             {"All of one board, or a check of your own file", "micromind targets stm32h743"},
                             {"The same for a program", "micromind targets --json"}});
  const auto name = std::make_shared<std::string>();
  verb->add_option("target", *name, "One of them, or the path of a .toml file")->type_name("NAME");
  verb->callback([&console, name] { name->empty() ? list_targets(console) : describe_target(console, *name); });
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
