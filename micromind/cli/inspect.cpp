// micromind inspect: what a network costs on a chip, layer by layer.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"
#include "micromind/cost/cost.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

struct Options {
  std::string subject, target;
  SubjectOptions build;
};

std::string totals(const Subject& s, const Cost& cost) {
  const auto layer = [&](int i) { return i < 0 ? std::string("–") : s.lowered.graph.nodes()[static_cast<std::size_t>(i)].name; };
  return fmt::format(
      "{} {}\n"
      "  parameters   {}\n"
      "  MACs         {} (torchinfo counts {})\n"
      "  peak RAM     {}, at {}{}\n"
      "  flash        {} ({} constants, {} code), largest layer {}",
      Console::bold(s.name), to_string(s.network.shape(s.network.inputs().front().value)), format_count(cost.parameters),
      format_count(cost.macs), format_count(cost.torchinfo_mult_adds), format_bytes(cost.peak_ram_bytes), layer(cost.ram_bottleneck),
      cost.plan.arena_bytes == cost.plan.lower_bound_bytes ? " (proven minimum for this order)"
                                                           : fmt::format(" (lower bound {})", format_bytes(cost.plan.lower_bound_bytes)),
      format_bytes(cost.flash_bytes), format_bytes(cost.constant_bytes), format_bytes(cost.code_bytes), layer(cost.flash_bottleneck));
}

void inspect(const Console& console, const Options& options) {
  const Subject subject = load_subject(options.subject, options.build);
  const std::string name = options.target.empty() ? subject.target : options.target;
  const std::optional<Target> target = name.empty() ? std::nullopt : std::optional(load_target(name));
  const Cost cost = estimate_cost(subject.network, subject.lowered);
  nlohmann::json json = to_json(cost, subject.lowered);
  json["name"] = subject.name;
  console.print(cost_table(cost, subject.lowered));
  console.print(totals(subject, cost));
  if (target) {
    const Fit fit = check_fit(cost, subject.lowered, *target);
    json["target"] = name;
    json["fits"] = fit.fits();
    json["fit"] = fit.text;
    json["ram_needed_bytes"] = fit.ram_needed;
    json["ram_available_bytes"] = fit.ram_available;
    json["flash_needed_bytes"] = fit.flash_needed;
    json["flash_available_bytes"] = fit.flash_available;
    console.print(fit.fits() ? Console::good(fit.text) : Console::bad(fit.text));
  }
  console.result(json);
}

}  // namespace

void add_inspect(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "inspect", "What a network costs on a chip, layer by layer",
                            "Counts parameters, multiply-accumulates, peak RAM as the planner places it, and flash; names the layer that decides\n"
                            "each, and says whether it fits a target. Nothing is trained or built.",
                            {{"A family, with options of its own", "micromind inspect phinet --input 3x160x160 --classes 20 --set alpha=0.5"},
                             {"Does this model of somebody's fit my board?", "micromind inspect model.tflite --target nrf52840"}});
  const auto options = std::make_shared<Options>();
  verb->add_option("subject", options->subject, "A run folder, a .tflite file, or a family (micromind networks)")->required()->type_name("RUN|FILE|FAMILY");
  verb->add_option("--input", options->build.input, "Input shape of a family: channels, height, width")->type_name("CxHxW");
  verb->add_option("--classes", options->build.classes, "Number of classes of a family; adds its classifier")->check(CLI::Range(1, 1'000'000));
  verb->add_option("--set", options->build.set, "An option of the family; may be repeated")->type_name("KEY=VALUE")->allow_extra_args(false);
  verb->add_option("--target", options->target, "Say whether it fits this board (micromind targets)")->type_name("NAME");
  verb->callback([&console, options] { inspect(console, *options); });
}

}  // namespace micromind
