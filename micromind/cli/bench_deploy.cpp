// micromind bench deploy: models on every emulated core, beside the peers: docs/benchmarks.md.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/file.h"
#include "micromind/bench/deployments.h"
#include "micromind/cli/verbs.h"

namespace micromind {

void add_bench_deploy(CLI::App& bench, Console& console) {
  struct Options {
    DeployBenchOptions bench;
    std::string json, markdown;
    bool no_accuracy = false, no_own = false, no_layers = false;
  };
  CLI::App* verb = add_verb(bench, console, "deploy", "Models on every emulated core: instructions, cycles, arena, flash, stack, beside the peers",
                            "Deploys each model to each emulated machine, counts, compares every output byte, and sets the peers' measured figures beside ours.\n"
                            "Models are the int8 .tflite files of --models FOLDER (MLPerf Tiny's four are known by name, with their labelled inputs: accuracy on\n"
                            "the emulated core) and the recipes' own networks with random weights.",
                            {{"The page of the documentation", "micromind bench deploy --models ../shared/data/mlperf_tiny --markdown docs/benchmarks.md"},
                             {"Your models on one core", "micromind bench deploy --models my/models --target mps2-an386 --no-own"}});
  const auto o = std::make_shared<Options>();
  verb->add_option("--models", o->bench.models, "A folder of .tflite files, or one with a folder `models` beside labelled inputs")->type_name("FOLDER");
  verb->add_option("--target", o->bench.targets, "An emulated machine or a board that has one; may be repeated; default all machines")->type_name("NAME")->allow_extra_args(false);
  verb->add_option("--inputs", o->bench.accuracy_inputs, "Labelled inputs of each model for accuracy, at most; default all")->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  verb->add_option("--accuracy-target", o->bench.accuracy_target, "The machine that accuracy is measured on")->type_name("NAME")->capture_default_str();
  verb->add_flag("--no-accuracy", o->no_accuracy, "Leave the labelled inputs out");
  verb->add_flag("--no-own", o->no_own, "Leave the recipes' networks out");
  verb->add_flag("--no-layers", o->no_layers, "Leave the table of single layers out");
  verb->add_option("--jobs", o->bench.jobs, "Deployments at once; default one a processor")->check(CLI::Range(1, 256));
  verb->add_option("--write-json", o->json, "Write all figures there")->type_name("FILE");
  verb->add_option("--markdown", o->markdown, "Write the page there")->type_name("FILE");
  verb->callback([&console, o] {
    DeployBenchOptions options = o->bench;
    if (o->no_accuracy) options.accuracy_inputs = -1;
    options.own_networks = !o->no_own;
    options.layers = !o->no_layers;
    const DeployBench result = bench_deployments(options, [](const std::string& line) { Console::note(line); });
    console.print(deploy_bench_text(result));
    nlohmann::json json = to_json(result);
    if (!o->json.empty()) write_atomic(o->json, json.dump(1) + "\n");
    if (!o->markdown.empty()) {
      write_atomic(o->markdown, benchmarks_page(result));
      console.print(fmt::format("\nPage in {}", o->markdown));
    }
    console.result(json);
  });
}

}  // namespace micromind
