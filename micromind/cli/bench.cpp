// micromind bench: its verbs; operators: which operator does the same work with less energy, and the latency model of a
// core.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/bench/efficiency.h"
#include "micromind/bench/latency_fit.h"
#include "micromind/cli/verbs.h"

namespace micromind {
namespace {

struct Options {
  std::vector<std::string> targets, sizes, measured;
  std::string output, template_folder, fit_folder;
  bool host = false, csv = false, details = false;
};

void note(const std::string& line) {
  Console::note(line);
}

std::vector<OperatorSize> sizes_of(const Options& options) {
  if (options.sizes.empty()) return default_operator_sizes();
  std::vector<OperatorSize> sizes;
  for (const std::string& text : options.sizes) sizes.push_back(parse_operator_size(text));
  return sizes;
}

void fit(const Console& console, const Options& options) {
  std::vector<Target> targets;  // all names before the first minute of work
  for (const std::string& name : options.targets) targets.push_back(roomy_machine(load_target(name)));
  if (targets.empty()) fail_with_hint("bench", "micromind targets lists them", "--fit needs --target NAME");
  nlohmann::json list = nlohmann::json::array();
  for (const Target& target : targets) {
    const LatencyFit fitted = fit_latency(target, note);
    const std::filesystem::path file =
        std::filesystem::path(options.fit_folder) / fmt::format("{}.json", core_name(target.core));
    write_atomic(file, to_json(fitted.model).dump(1) + "\n");
    console.print(
        fmt::format("{}: {} layers trained the model in {}; off by, on layers and networks that did not:",
                    Console::bold(std::string(core_name(target.core))), fitted.trained, file.string()));
    console.print(fit_table(fitted));
    nlohmann::json json = fit_to_json(fitted);
    json["file"] = file.string();
    list.push_back(json);
  }
  console.result({{"latency_models", list}});
}

void write_results(const Console& console, const Options& options,
                   const std::vector<PlatformEfficiency>& platforms) {
  const std::filesystem::path folder = options.output;
  write_atomic(folder / "operators.json", efficiency_to_json(platforms).dump(1) + "\n");
  write_atomic(folder / "operators.csv", efficiency_csv(platforms));
  write_atomic(folder / "operators.svg", efficiency_svg(platforms));
  write_atomic(folder / "operators.html", efficiency_page(platforms));
  console.print(fmt::format("\nChart and tables in {}", (folder / "operators.html").string()));
}

void measure(Console& console, const Options& options) {
  if (!options.fit_folder.empty()) return fit(console, options);
  const std::vector<OperatorSize> sizes = sizes_of(options);
  if (!options.template_folder.empty()) {
    write_operator_template(options.template_folder, sizes, note);
    const std::string csv = (std::filesystem::path(options.template_folder) / "operators.csv").string();
    console.print(
        fmt::format("C code of every operator in {0}; measure, fill {1} in, then: micromind bench operators "
                    "--measured {1}",
                    options.template_folder, csv));
    return console.result({{"template", csv}});
  }
  std::vector<PlatformEfficiency> platforms;
  std::vector<Target> targets;
  for (const std::string& name : options.targets) {
    targets.push_back(load_target(name));
    roomy_machine(targets.back());
  }
  for (const std::string& file : options.measured) platforms.push_back(read_measured_operators(file));
  if (options.host || (targets.empty() && platforms.empty()))
    platforms.insert(platforms.begin(), time_operators(sizes, {}, note));
  for (const Target& target : targets) platforms.push_back(emulate_operators(sizes, target, note));
  if (options.csv) {
    if (!console.json) fmt::print("{}", efficiency_csv(platforms));
  } else {
    if (options.details)
      for (const PlatformEfficiency& p : platforms)
        console.print(fmt::format("{}\n{}\n", Console::bold(p.label), figure_table(p)));
    console.print(efficiency_table(platforms));
    for (const PlatformEfficiency& p : platforms)
      console.print(fmt::format("{}: energy is {}", p.label, p.energy_is));
  }
  if (!options.output.empty()) write_results(console, options, platforms);
  nlohmann::json json = efficiency_to_json(platforms);
  if (!options.output.empty()) json["folder"] = options.output;
  console.result(json);
}

}  // namespace

void add_bench(CLI::App& app, Console& console) {
  CLI::App* verb =
      add_verb(app, console, "bench", "Measure operators and deployed models on this computer, emulated cores and boards",
               "micromind bench operators compares operators at equal work; micromind bench deploy measures models on every emulated core.",
               {{"On an emulated Cortex-M4 and on this computer",
                 "micromind bench operators --target mps2-an386 --host"}});
  verb->require_subcommand(1);
  add_bench_deploy(*verb, console);
  CLI::App* operators = add_verb(*verb, console, "operators",
                                 "Energy of a standard convolution over an operator's, for the same work",
                                 "eta = (E_S / MAC_S) / (E_op / MAC_op): above 1 an operator gets more out "
                                 "of a joule than the standard convolution.\n"
                                 "On emulated cores energy is a MODEL: instructions counted by class, cycles "
                                 "from a table, the target's active power.\n"
                                 "On this computer it is RAPL's energy where it can be read, else time. "
                                 "Boards come as a CSV that a lab filled in.\n"
                                 "With --fit the latency models that design uses are made anew from layers "
                                 "counted on the emulated cores.",
                                 {{"The chart of several cores and this computer",
                                   "micromind bench operators --host --target mps2-an386 --target mps2-an500 "
                                   "--target mps3-an547 --output build/operators"},
                                  {"Code and a form for a lab, and the filled form",
                                   "micromind bench operators --template build/lab\n  micromind bench "
                                   "operators --measured build/lab/operators.csv"},
                                  {"The latency models anew, after a kernel changed",
                                   "micromind bench operators --target mps2-an386 --target mps2-an500 "
                                   "--target mps3-an547 --fit targets/latency"}});
  const auto options = std::make_shared<Options>();
  operators
      ->add_option("--target", options->targets,
                   "An emulated machine, or a board that has one; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  operators->add_flag("--host", options->host,
                      "Measure this computer (the default when nothing else is asked)");
  operators
      ->add_option("--sizes", options->sizes,
                   "Image and channels of the standard convolution; default 32x32x8 24x24x16 16x16x24 8x8x48")
      ->type_name("HxWxC");
  operators
      ->add_option("--measured", options->measured,
                   "Energies of a board: operator,size,energy_uj; may be repeated")
      ->type_name("FILE.csv")
      ->allow_extra_args(false);
  operators->add_option("--output", options->output, "Write operators.html, .svg, .json and .csv there")
      ->type_name("DIR");
  operators->add_flag("--details", options->details, "Print every figure, not only the means over sizes");
  operators->add_flag("--csv", options->csv, "Print every figure as CSV");
  CLI::Option* lab = operators
                         ->add_option("--template", options->template_folder,
                                      "Write the C code of every operator and the CSV to fill in")
                         ->type_name("DIR");
  operators
      ->add_option("--fit", options->fit_folder,
                   "Write the latency model of each --target's core there, and how far off it is")
      ->type_name("DIR")
      ->excludes(lab);
  operators->callback([&console, options] { measure(console, *options); });
}

}  // namespace micromind
