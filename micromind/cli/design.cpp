// micromind design: from a budget to the network that fills it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"
#include "micromind/cli/pareto.h"
#include "micromind/cli/verbs.h"
#include "micromind/run/design_recipe.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

struct Options {
  std::string family, input, target, data, output;
  int classes = 0;
  DesignSection design;
  std::vector<std::string> space, set, recipe_set;
  bool quick = false, knobs = false;
  ParetoOptions pareto;
};

// The recipe that asks for this design: what `[design]` in a file would say.
Recipe asking_recipe(const Options& options) {
  std::vector<std::string> overrides = {"network.family=" + nlohmann::json(options.family).dump()};
  for (const std::string& text : options.set)
    if (text.starts_with("family=")) fail_with_hint("--set " + text, "name the family behind `design`", "the family is given already");
  for (const std::string& text : options.set) overrides.push_back("network." + text);
  overrides.insert(overrides.end(), options.recipe_set.begin(), options.recipe_set.end());
  Recipe recipe = parse_recipe("", "options", overrides);
  recipe.run.name = options.output.empty() ? options.family : std::filesystem::path(options.output).stem().string();
  if (!options.data.empty()) recipe.data.name = options.data;
  if (!options.target.empty()) recipe.deploy.target = options.target;
  recipe.design = options.design;
  recipe.design.present = true;
  for (const std::string& text : options.space) recipe.design.space.update(parse_wish(text));
  return recipe;
}

std::string hyperparameters(const Design& d) {
  std::string text;
  for (const auto& [key, value] : d.options.items())
    if (key != "include_top" && key != "num_classes") text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", key, value.dump());
  return text;
}

void print(const Console& console, const Design& d) {
  console.print(fmt::format("{}  {}", Console::bold(d.family), hyperparameters(d)));
  console.print(fmt::format("{} parameters, {} layers on the chip", format_count(d.cost.parameters), d.lowered.graph.nodes().size()));
  console.print(design_table(d));
  if (d.latency_ms > 0 && d.resources.back().resource != kCycles)
    console.print(fmt::format("estimated latency {:.4g} ms an inference, by the model of the core (docs/operators.md)", d.latency_ms));
  for (const std::string& note : d.notes) console.print("note: " + note);
  console.print(d.gap == 0 ? fmt::format("{} {:.1f} ms, {} candidates costed", Console::good("proven best:"), d.solve_ms, format_count(d.candidates))
                           : Console::bad(fmt::format("not proven: a network could be better by {:.3f} %", 100 * d.gap)));
}

// What --space can narrow.
void list_knobs(const Console& console, const Options& options) {
  const Shape input = options.input.empty() ? Shape{3, 96, 96} : parse_shape(options.input);
  std::vector<std::vector<std::string>> rows = {{"knob", "range", "what it is"}};
  nlohmann::json list = nlohmann::json::array();
  for (const Knob& knob : default_space(options.family, input)) {
    const bool of_input = knob.name == "resolution" && options.input.empty();
    std::string choices;
    for (const nlohmann::json& choice : knob.choices) choices += (choices.empty() ? "" : " or ") + choice.dump();
    rows.push_back({knob.name, knob.real ? fmt::format("{} to {}", knob.low, knob.high) : of_input ? "the input's" : choices, knob.about});
    nlohmann::json entry = {{"name", knob.name}, {"real", knob.real}, {"about", knob.about}};
    if (knob.real) entry.update({{"low", knob.low}, {"high", knob.high}});
    else entry["choices"] = of_input ? nlohmann::json::array() : nlohmann::json(knob.choices);
    list.push_back(entry);
  }
  console.print(format_table(rows));
  console.result({{"family", options.family}, {"knobs", list}});
}

// The first lines of the recipe: what it is for, and what it uses.
std::string heading(const Design& d, const Options& options) {
  std::string text = fmt::format("# {} for {} and {} classes{}: made by `micromind design`.\n#\n", d.family, options.input, options.classes,
                                 options.target.empty() ? "" : " on " + options.target);
  for (const ResourceUse& r : d.resources)
    text += fmt::format("#   {:5} {}{}\n", resource_name(r.resource), format_resource(r.resource, r.used),
                        r.budget == kUnlimited ? "" : fmt::format(" of {} ({:.2f} %)", format_resource(r.resource, r.budget), 100 * r.share()));
  return text + fmt::format("#\n#   micromind run {}\n\n", options.output);
}

void run(const Console& console, const Options& options) {
  if (options.knobs) return list_knobs(console, options);
  if (options.input.empty()) throw CLI::RequiredError("--input");
  if (options.classes == 0) throw CLI::RequiredError("--classes");
  const Recipe asking = asking_recipe(options);
  const Shape input = parse_shape(options.input);
  DesignRequest request = design_request(asking, input, options.classes);
  if (options.target.empty()) request.target.reset();
  request.sensitivity = !options.quick && !options.pareto.pareto;
  if (options.pareto.pareto) return run_pareto(console, asking, request, options.pareto, options.output);
  const Design d = design(request);
  const Shape& image = d.network.shape(d.network.inputs().front().value);
  const bool square = image.height() == image.width();  // data sets are resized to squares only
  const std::string recipe = square || !options.output.empty() ? to_toml(with_design(asking, d, false), false) : "";
  if (!options.output.empty()) write_atomic(options.output, heading(d, options) + recipe);
  print(console, d);
  if (!square) {
    Console::note("no recipe: data sets are resized to squares only; take these hyperparameters into a recipe of your own");
  } else if (options.output.empty()) {
    console.print("\n" + recipe);
    Console::note("--output network.toml writes this recipe to a file that `micromind run` takes");
  } else {
    console.print(fmt::format("recipe        {}\nnext: micromind run {}", options.output, options.output));
  }
  nlohmann::json json = to_json(d);
  json["recipe"] = options.output.empty() ? nlohmann::json() : nlohmann::json(options.output);
  console.result(json);
}

}  // namespace

void add_design(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(
      app, console, "design", "From a budget to the network that fills it",
      "Chooses the hyperparameters of a family so that the network fills RAM (as the planner places it), flash (as it links) and\n"
      "operations, and proves that no other network of the family does better. Says what binds, and how much more of each budget the\n"
      "next better network needs. Families: phinet, xinet, mobilenet-v2, efficientnet (compound scaling).",
      {{"All that a board holds, at 60 million operations", "micromind design phinet --input 3x160x160 --classes 20 --target stm32h743 --macs 60M"},
       {"Without a board; as a recipe", "micromind design xinet --input 3x96x96 --classes 10 --ram 128kB --flash 512kB --macs 20M --output net.toml\n  micromind run net.toml"},
       {"Fixed and free knobs, options of the family", "micromind design phinet --input 3x96x96 --classes 2 --target nrf52840 --space num_layers=5:7 "
                                                     "--space resolution=64,80,96 --set divisor=8"},
       {"What each smaller budget buys, and how well those networks learn",
        "micromind design phinet --input 3x32x32 --classes 10 --ram 64kB --flash 512kB --macs 10M --pareto --proxy-train cifar10 --epochs 4"}});
  const auto o = std::make_shared<Options>();
  // An empty value is a shell variable that is not set: no limit is not what is meant.
  const CLI::Validator given([](const std::string& text) { return text.empty() ? std::string("expected a value, found nothing") : std::string(); }, "");
  verb->add_option("family", o->family, "phinet, xinet, mobilenet-v2 or efficientnet")->required()->type_name("FAMILY");
  verb->add_option("--input", o->input, "Shape of the images: channels, height, width; required")->type_name("CxHxW");
  verb->add_option("--classes", o->classes, "Number of classes; required")->check(CLI::Range(1, 1'000'000));
  verb->add_option("--target", o->target, "Board whose RAM and flash are the budget (micromind targets, or a .toml file)")->type_name("NAME")->check(given);
  verb->add_option("--ram", o->design.ram, "RAM for activations, as 320kB; with a target: less than it has")->type_name("BYTES")->check(given);
  verb->add_option("--flash", o->design.flash, "Flash for the whole image, as 1MB")->type_name("BYTES")->check(given);
  verb->add_option("--macs", o->design.macs, "Multiply-accumulates an inference, as 60M")->type_name("COUNT")->check(given);
  verb->add_option("--latency-ms", o->design.latency_ms, "Estimated time of an inference on the target")->type_name("MS");
  verb->add_option("--least-flash", o->design.least_flash, "A network at least so large")->type_name("BYTES")->check(given);
  verb->add_option("--least-macs", o->design.least_macs, "A network of at least so many operations")->type_name("COUNT")->check(given);
  verb->add_option("--objective", o->design.objective, "fill: all budgets (Σ weight · log use); macs: most operations;\nlatency: least estimated time, with --least-flash or --least-macs")
      ->type_name("NAME");
  verb->add_option("--weights", o->design.weights, "Of RAM, flash, MACs and latency in `fill`; default 1 1 1 0")->expected(kResources)->type_name("W");
  verb->add_option("--space", o->space, "Narrow or fix a knob: alpha=0.1:2, num_layers=5,7, squeeze_excite=false; may be repeated")
      ->type_name("KNOB=RANGE")->allow_extra_args(false);
  verb->add_flag("--knobs", o->knobs, "List the family's knobs and the ranges that are searched, and do nothing else");
  verb->add_option("--set", o->set, "An option of the family that is no knob; may be repeated")->type_name("KEY=VALUE")->allow_extra_args(false);
  verb->add_option("--recipe-set", o->recipe_set, "A key of the recipe, as train.epochs=20; may be repeated")
      ->type_name("SECTION.KEY=VALUE")->allow_extra_args(false);
  verb->add_option("--solver", o->design.solver, "exact: branch and bound; bonmin: Bonmin on the smooth relaxation first")->type_name("NAME");
  verb->add_option("--data", o->data, "Data set of the recipe (micromind datasets)")->type_name("NAME");
  verb->add_option("--output", o->output, "Write the recipe there; with --pareto the folder")->type_name("FILE");
  verb->add_flag("--quick", o->quick, "Do not look for the next better networks");
  add_pareto_options(*verb, o->pareto);
  verb->callback([&console, o] { run(console, *o); });
}

}  // namespace micromind
