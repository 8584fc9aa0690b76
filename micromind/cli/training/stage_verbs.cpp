// micromind evaluate | quantize, and deploy of a run: one stage of a run each.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cli/deployment_text.h"
#include "micromind/cli/training/stages.h"
#include "micromind/cli/verbs.h"
#include "micromind/run/report.h"

namespace micromind {
namespace {

// Adds a verb whose one argument is a run folder.
template <class Work>
CLI::App* add_stage(CLI::App& app, Console& console, const char* name, const char* summary, const char* description,
               const std::vector<Example>& examples, Work work) {
  CLI::App* verb = add_verb(app, console, name, summary, description, examples);
  const auto path = std::make_shared<std::string>();
  verb->add_option("run", *path, "The run folder")->required()->type_name("RUN");
  verb->callback([path, work] {
    RunFolder run = RunFolder::open(*path);
    StageOutput output;
    work(run, output.hooks());
  });
  return verb;
}

}  // namespace

void add_evaluate(CLI::App& app, Console& console) {
  add_stage(app, console, "evaluate", "Float and int8 accuracy of a run on its test set",
            "The float network runs in libtorch, the int8 model through the very C kernels that go onto the chip.",
            {{"Evaluate", "micromind evaluate runs/demo"}, {"For a script", "micromind evaluate runs/demo --json"}},
            [&console](RunFolder& run, const StageHooks& hooks) {
              const nlohmann::json result = stage_evaluate(run, hooks);
              console.print(accuracy_text(result));
              console.result(result);
            });
}

void add_quantize(CLI::App& app, Console& console) {
  const auto qat = std::make_shared<bool>(false);
  CLI::App* verb = add_stage(app, console, "quantize", "Make a run's int8 model and evaluate it beside the float one",
            "Calibrates on training images as the recipe's [quantize] section says and writes model.tflite (TensorFlow Lite's int8).\n"
            "With --qat the network then learns on while it computes with the int8 kernels of the chip (docs/quantization.md).",
            {{"Quantise", "micromind quantize runs/demo"},
             {"With quantisation-aware training; the same goes on after Ctrl-C", "micromind quantize runs/demo --qat"},
             {"Then put it on a chip", "micromind deploy runs/demo --emulate"}},
            [&console, qat](RunFolder& run, const StageHooks& hooks) {
              nlohmann::json result = stage_quantize(run, hooks, *qat);
              const nlohmann::json accuracy = stage_evaluate(run, hooks);
              for (const char* key : {"top1", "int8_top1", "ptq_top1"})
                if (accuracy.contains(key)) result[key] = accuracy.at(key);
              result["tflite"] = run.tflite_file().string();
              console.print(accuracy_text(accuracy));
              console.print(fmt::format("{} ({})", run.tflite_file().string(), format_bytes(result.value("bytes", std::int64_t{0}))));
              console.result(result);
            });
  verb->add_flag("--qat", *qat, "Quantisation-aware training, as with quantize.qat = true in the recipe (qat_epochs, qat_learning_rate, qat_ranges)");
}

void quantize_run(RunFolder& run) {
  StageOutput output;
  stage_quantize(run, output.hooks());
}

void deploy_run(const Console& console, const DeployRequest& request) {
  RunFolder run = RunFolder::open(request.subject);
  StageOutput output;
  const nlohmann::json result = stage_deploy(
      run, {.target = request.target, .emulate = request.emulate, .inputs = request.inputs, .output = request.output}, output.hooks());
  console.print(deployment_text(deployment_from_json(result), true));
  console.print("C code in " + result.value("folder", std::string()));
  console.result(result);
}

}  // namespace micromind
